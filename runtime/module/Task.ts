import { type Duration, type Effect, type Schedule, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { defaultRetry } from "../loop/schedule.ts"

/**
 * Work of a module that calls something outside its database: a payment provider, a mail server, the event log.
 *
 * A task is a row, its kind and an id, that is added in the transaction of a decision (`Tasks.add`). The runtime does
 * the rest, in three parts:
 *
 * 1. `begin`, in a transaction that also marks the row as called: decides under the lock of the aggregate what to call.
 * 2. `call`, outside of any transaction, after that commit, within `deadline`.
 * 3. `end`, in a second transaction: records the result, and says whether the row is done or is called again.
 *
 * A process may die between any two of these. A row whose mark is older than its deadline and 10 s comes back to
 * `begin` with `isUnknown`: the call may have been made or not, so the module asks first, or repeats a call that is
 * idempotent. The runtime never repeats one by itself.
 *
 * Rows come in batches, each id once. When a batch of `begin` or `end` fails, its rows are tried one by one; a row that
 * fails alone is tried again later, by `retry`, and holds up no other. Several instances of a module share the rows. The
 * tasks of a module share its 64 calls at once equally, so that none waits for the slow calls of another.
 */
export interface Task<out R> {
  /** Stable, unique in the program, begins with the module's name: `payment.charge`. */
  readonly name: string
  /** How long a call may take, in milliseconds. */
  readonly deadlineMillis: number
  /** When a row is tried again, by how often it was tried; each minute once it is done, for only the module ends a row. */
  readonly retry: Schedule.Schedule<unknown>
  /** What to call for each item, in their order and as many; undefined: nothing, the row is done. */
  readonly begin: (items: NonEmptyReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<unknown>, never, R>
  readonly call: (call: any, id: string) => Effect.Effect<unknown, unknown, R>
  /** What becomes of each row, in their order and as many. */
  readonly end: (results: NonEmptyReadonlyArray<Ended<any, any>>) => Effect.Effect<ReadonlyArray<Next>, never, R>
}

/** A row that is due. */
export interface Item {
  readonly id: string
  /** A call for it may have been made: it was marked and its result never recorded, or its result was `Unknown`. */
  readonly isUnknown: boolean
}

/** A call that came to an end. */
export interface Ended<Call, Answer> {
  readonly id: string
  readonly call: Call
  readonly result: CallResult<Answer>
}

export type CallResult<Answer> =
  | { readonly _tag: "Answered"; readonly answer: Answer }
  /** It certainly did not take place; `after` is the least wait before it is of use to try again, where that is known. */
  | { readonly _tag: "NotMade"; readonly reason: string; readonly after?: Duration.Duration }
  /** It may have taken place: no answer in time, an error, an interrupted process. */
  | { readonly _tag: "Unknown"; readonly reason: string }

/** What becomes of a row after its call: it is done, or it is tried again, by `retry` or after a time. */
export type Next = { readonly _tag: "Done" } | { readonly _tag: "Again"; readonly after?: Duration.Input }

export const done: Next = { _tag: "Done" }
export const again: Next = { _tag: "Again" }
export const againAfter = (after: Duration.Input): Next => ({ _tag: "Again", after })

/**
 * A call fails with this when it certainly did not take place, as behind an open circuit; `after` says when to try again
 * at the earliest, where that is known. Any other failure leaves open whether the call took place.
 */
export class NotMade extends Schema.TaggedError<NotMade>()("NotMade", {
  reason: Schema.String,
  after: Schema.optionalKey(Schema.Duration),
}) {}

/** The longest deadline of a call, in milliseconds: the row of a process that died is looked at again after it. */
const mostMillis = 30_000

/** A task; without a deadline of its own a call may take 10 s. */
export const task = <Call, Answer, R>(options: {
  readonly name: string
  readonly deadlineMillis?: number
  readonly retry?: Schedule.Schedule<unknown>
  readonly begin: (items: NonEmptyReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<Call | undefined>, never, R>
  readonly call: (call: Call, id: string) => Effect.Effect<Answer, unknown, R>
  readonly end: (results: NonEmptyReadonlyArray<Ended<Call, Answer>>) => Effect.Effect<ReadonlyArray<Next>, never, R>
}): Task<R> => {
  const { deadlineMillis = 10_000, retry = defaultRetry } = options
  if (!(deadlineMillis > 0 && deadlineMillis <= mostMillis))
    throw new Error(`the deadline of ${options.name} is not between 0 and ${mostMillis} ms`)
  return { ...options, deadlineMillis, retry }
}
