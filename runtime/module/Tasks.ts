import { Context, type Effect } from "effect"

/**
 * The tasks of a module that are to be done (see `module/Task.ts`), in its own database: a row is added in the
 * transaction of the decision that asks for it, so there is no decision without its task and no task without its
 * decision.
 */
export class Tasks extends Context.Service<
  Tasks,
  {
    /**
     * Adds rows of the task `name` in the running transaction, due at once unless it is said; an id that is there stays
     * as it is, also while it is called: its `end` decides under the lock of the aggregate, and sees this decision. The
     * worker wakes after the commit. `name` is one of the module's own tasks, else this is a defect.
     */
    readonly add: (
      name: string,
      rows: ReadonlyArray<{ readonly id: string | number; readonly due?: Date }>,
    ) => Effect.Effect<void>

    /**
     * Removes rows that need not be done any more, in the running transaction. A row that is called stays, and so does
     * one whose call is unknown: `begin` or `end` decides about it.
     */
    readonly remove: (name: string, ids: ReadonlyArray<string | number>) => Effect.Effect<void>
  }
>()("galleria/Tasks") {}
