import { Context, type Effect } from "effect"

/**
 * The open tasks of a module (see `module/Task.ts`), in its own database. A row is added in the transaction of the decision
 * that requests it, so neither exists without the other.
 */
export class Tasks extends Context.Service<
  Tasks,
  {
    /**
     * Adds rows of the task `name` in the running transaction, due at once by default. An existing id is left unchanged, also
     * while it is called: its `end` decides under the aggregate's lock and sees this decision. Wakes the worker after the
     * commit. Dies when `name` is not a task of the module.
     */
    readonly add: (
      name: string,
      rows: ReadonlyArray<{ readonly id: string | number; readonly due?: Date }>,
    ) => Effect.Effect<void>

    /**
     * Removes rows that are no longer needed, in the running transaction. A row that is being called stays, as does one whose
     * call is unknown: `begin` or `end` decides about it.
     */
    readonly remove: (name: string, ids: ReadonlyArray<string | number>) => Effect.Effect<void>
  }
>()("galleria/Tasks") {}
