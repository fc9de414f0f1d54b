import { Cause, Clock, Duration, Effect, type Schedule, Schema } from "effect"
import type { Outcome } from "../inbox/Inbox.ts"
import { textOf } from "../module/defect.ts"
import { Postpone, Reject } from "../module/Reaction.ts"
import { defaultRetry, delayAfter } from "../module/schedule.ts"
import { sqlErrorIn } from "../sql/transaction.ts"
import { faultOf } from "./fault.ts"

/** Queued behind an earlier event of its key. */
export const waiting: Outcome = { status: "waiting" }

/** Sooner it would only spin, and later nobody would ever look. */
const postponed = { leastMillis: 1_000, mostMillis: 24 * 60 * 60 * 1_000 }

/** The wait of an event whose statement cannot be done now, though the database answers. */
const laterMillis = 10_000

/** What becomes of an event whose handling failed like this, for the first time; `schedule` says when it is tried again. */
export const outcomeOf = (
  cause: Cause.Cause<unknown>,
  schedule: Schedule.Schedule<unknown> = defaultRetry,
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const error = sqlErrorIn(cause)?.reason.cause ?? Cause.squash(cause)
    const text = clean(textOf(error))
    if (error instanceof Reject) {
      return { status: "parked", attempts: 1, reason: "rejected", error: clean(error.reason), due: null }
    }
    if (error instanceof Postpone) {
      const { leastMillis, mostMillis } = postponed
      const due = new Date(now + Math.min(Math.max(Duration.toMillis(error.for), leastMillis), mostMillis))
      return { status: "retrying", attempts: 0, reason: "postponed", error: "", due }
    }
    if (faultOf(cause) !== "event") {
      // Not counted: nothing is ever parked because the infrastructure was away.
      return { status: "retrying", attempts: 0, reason: "unavailable", error: text, due: new Date(now + laterMillis) }
    }
    const reason = Schema.isSchemaError(error) ? "schema" : "failed"
    const delay = yield* delayAfter(schedule, 1)
    return delay === undefined
      ? { status: "parked", attempts: 1, reason, error: text, due: null }
      : { status: "retrying", attempts: 1, reason, error: text, due: new Date(now + delay) }
  })

/** What may be kept and shown of an error: 2,000 characters of a line. */
export const clean = (text: string): string =>
  text
    .slice(0, 2_000)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")

/** In the place of a reaction's name: the record could not be read, so no reaction ever saw it. */
export const ofNoReaction = "*"

/**
 * What became of an event that failed, for the log: which reaction, why, and what comes next. Why data do not match a
 * schema is not told: that text has values in it.
 */
export const failureOf = (
  delivery: { readonly reaction: string; readonly key: string | null; readonly record: { readonly topic: string } },
  { status, reason, error }: Exclude<Outcome, { readonly status: "waiting" }>,
): string => {
  const { reaction, key, record } = delivery
  const what = reaction === ofNoReaction ? `cannot read a record of ${record.topic}` : `${reaction} failed`
  const why = reason === "schema" ? `the data do not match the schema of ${record.topic}` : error
  const next = status === "parked" ? "it is parked" : "it is tried again"
  return `${what} (${reason})${why === "" ? "" : `: ${why}`}; ${next}${key === null ? "" : ", and later events of its key wait"}`
}
