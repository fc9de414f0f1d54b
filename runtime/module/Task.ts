import { type Duration, type Effect, type Schedule, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { defaultRetry } from "../loop/schedule.ts"

/**
 * A call of a module to something outside its database: a payment provider, a mail server, the event log.
 *
 * A task is a row with a name and an id, added in the transaction of a decision (`Tasks.add`). The runtime runs it in three
 * steps:
 *
 * 1. `begin`, in a transaction that also marks the row as called: decides, under the aggregate's lock, what to call.
 * 2. `call`, outside of any transaction, after that commit, within `deadline`.
 * 3. `end`, in a second transaction: records the result, and returns whether the row is done or is called again.
 *
 * The process may die between any two steps. When the mark of a row is older than its deadline plus 10 s, `begin` gets the
 * row again with `isUnknown`: the call may or may not have been made, so the module looks it up, or repeats it if it is
 * idempotent. The runtime never repeats a call by itself.
 *
 * Rows come in batches, each id once. When a batch of `begin` or `end` fails, its rows are processed one by one; a row that
 * fails alone is retried later by `retry` and delays no other. Several instances of a module share the rows. A module makes
 * at most 64 calls at once, shared equally among its tasks, so that slow calls of one do not delay another.
 */
export interface Task<out R> {
  /** Must never change; unique in the program; begins with the module's name: `payment.charge`. */
  readonly name: string
  /** Time limit of a call, in milliseconds. */
  readonly deadlineMillis: number
  /** When a row is retried, by its attempts; every minute after the end of the schedule, because only the module ends a row. */
  readonly retry: Schedule.Schedule<unknown>
  /** The call for each item, in their order and number; undefined: no call, the row is done. */
  readonly begin: (items: NonEmptyReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<unknown>, never, R>
  readonly call: (call: any, id: string) => Effect.Effect<unknown, unknown, R>
  /** What to do next with each row, in their order and number. */
  readonly end: (results: NonEmptyReadonlyArray<Ended<any, any>>) => Effect.Effect<ReadonlyArray<Next>, never, R>
}

/** A row that is due. */
export interface Item {
  readonly id: string
  /** A call may have been made: the row was marked and no result recorded, or the result was `Unknown`. */
  readonly isUnknown: boolean
}

/** A call that has ended. */
export interface Ended<Call, Answer> {
  readonly id: string
  readonly call: Call
  readonly result: CallResult<Answer>
}

export type CallResult<Answer> =
  | { readonly _tag: "Answered"; readonly answer: Answer }
  /** The call was certainly not made; `after` is the least useful wait before a retry, if known. */
  | { readonly _tag: "NotMade"; readonly reason: string; readonly after?: Duration.Duration }
  /** The call may have been made: no answer in time, an error, or an interrupted process. */
  | { readonly _tag: "Unknown"; readonly reason: string }

/** What to do with a row after its call: it is done, or it is retried, by `retry` or after a time. */
export type Next = { readonly _tag: "Done" } | { readonly _tag: "Again"; readonly after?: Duration.Input }

export const done: Next = { _tag: "Done" }
export const again: Next = { _tag: "Again" }
export const againAfter = (after: Duration.Input): Next => ({ _tag: "Again", after })

/**
 * A call fails with this when it was certainly not made, for example because of an open circuit; `after` is the least wait
 * before a retry, if known. Any other failure leaves it unknown whether the call was made.
 */
export class NotMade extends Schema.TaggedError<NotMade>()("NotMade", {
  reason: Schema.String,
  after: Schema.optionalKey(Schema.Duration),
}) {}

/** Maximum deadline of a call, in milliseconds: the row of a process that died is due again only after it. */
const mostMillis = 30_000

/** Declares a task; the default deadline of a call is 10 s. */
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
