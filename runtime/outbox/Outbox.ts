import { Context, type Effect } from "effect"
import type { Statement } from "effect/sql"
import type { EventType, Fact } from "../events/Event.ts"

/** An event as it is stored: its id, time and data never change. */
export interface EventDraft {
  readonly event_id: string
  readonly type: string
  readonly version: number
  readonly time: string
  readonly traceparent: string | null
  /** Null when the statement assigns the member that is the key. */
  readonly key: string | null
  /** Like `key`. */
  readonly subject: string | null
  /** JSON text. */
  readonly data: string
}

/** Maximum size of an event; a larger one is a defect. Kafka's default limit is 1 MB, including headers. */
export const maxBytes = 900_000

/**
 * Stores a module's events in its own database, in the transaction of the change that they report, so that neither exists
 * without the other. A relay sends them to the event log.
 *
 * Lock the aggregate's row first, then append: events of one aggregate are then sent in the order of the commits.
 */
export class Outbox extends Context.Service<
  Outbox,
  {
    /**
     * Appends events in the running transaction, and returns what was written. Wakes the relay after the commit. Dies outside
     * of a transaction, and for an event that the module does not list under `publishes`.
     */
    readonly append: (facts: ReadonlyArray<Fact>) => Effect.Effect<ReadonlyArray<EventDraft>>

    /**
     * Makes an event with its id and time, for `insert`. `assigned` names the members that the statement adds. Dies for an
     * event that the module does not list under `publishes`.
     */
    readonly draft: <E extends EventType, const Assigned extends keyof E["data"]["Type"] & string = never>(
      event: E,
      data: Omit<E["data"]["Type"], Assigned>,
      assigned?: ReadonlyArray<Assigned>,
    ) => Effect.Effect<EventDraft>

    /**
     * Appends as part of a statement: an INSERT of the rows `(n int, draft json, assigned text)`, in the order of `n`.
     * `assigned` is a JSON object, as text without NUL, of the members that `draft` was made without, such as ids (null:
     * none). Run `wake` after the commit.
     */
    readonly insert: (event: EventType, rows: Statement.Fragment) => Statement.Fragment

    /** Wakes the relay. */
    readonly wake: Effect.Effect<void>
  }
>()("galleria/Outbox") {}

/** The error text for an event that a module does not list under `publishes`. */
export const notPublished = (module: string, type: string): string =>
  `${module} does not publish ${type}: name it under "publishes" in module.ts`
