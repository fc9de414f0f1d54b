import { Context, type Effect } from "effect"
import type { Statement } from "effect/sql"
import type { EventType, Fact } from "../events/Event.ts"

/** An event as it is written down: identity, time and data never change after this. */
export interface Draft {
  readonly event_id: string
  readonly type: string
  readonly version: number
  readonly time: string
  readonly traceparent: string | null
  /** Null where the statement assigns the member that it is. */
  readonly key: string | null
  /** As `key`. */
  readonly subject: string | null
  /** JSON text. */
  readonly data: string
}

/** Above this an event is refused, as a defect: Kafka takes 1 MB by default, headers included. */
export const maxBytes = 900_000

/**
 * Where a module writes its events: in its own database, in the transaction of the change that they tell of, so that
 * there is no state without its event and no event without its state. A relay carries them to the bus.
 *
 * Lock the aggregate's row first, then append: events of one aggregate leave in the order of the commits.
 */
export class Outbox extends Context.Service<
  Outbox,
  {
    /**
     * Appends in the running transaction, and says what was written. The relay wakes after the commit. Dies outside of a
     * transaction, and of an event that the module does not name under `publishes`.
     */
    readonly append: (facts: ReadonlyArray<Fact>) => Effect.Effect<ReadonlyArray<Draft>>

    /**
     * Gives an event its identity, now, for `insert`. `assigned` names the members that the statement adds. Dies as
     * `append`.
     */
    readonly draft: <E extends EventType, const Assigned extends keyof E["data"]["Type"] & string = never>(
      event: E,
      data: Omit<E["data"]["Type"], Assigned>,
      assigned?: ReadonlyArray<Assigned>,
    ) => Effect.Effect<Draft>

    /**
     * The same as part of a statement: an INSERT of the rows `(n int, draft json, assigned text)`, in the order of `n`.
     * `assigned` is a JSON object as text, of the members, such as ids, that `draft` was made without (null: none). It has
     * no NUL character. Run `wake` when the statement has committed.
     */
    readonly insert: (event: EventType, rows: Statement.Fragment) => Statement.Fragment

    /** Tells the relay that there is something to send. */
    readonly wake: Effect.Effect<void>
  }
>()("galleria/Outbox") {}

/** Why a module must not write an event. */
export const notPublished = (module: string, type: string): string =>
  `${module} does not publish ${type}: name it under "publishes" in module.ts`
