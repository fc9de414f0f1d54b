import { Cause, Clock, Duration, Effect, Schema } from "effect"
import type { Outcome } from "../inbox/Inbox.ts"
import { Postpone, Reject } from "../module/Reaction.ts"
import { sqlErrorIn } from "../sql/transaction.ts"
import { faultOf } from "./fault.ts"

/** Queued behind an earlier event of its key. */
export const waiting: Outcome = { status: "waiting" }

/** The first wait of an event that failed; its retries follow the schedule. */
const firstRetryMillis = 1_000

/** The wait of an event whose statement cannot be done now, though the database answers. */
const laterMillis = 10_000

/** What becomes of an event whose handling failed like this. */
export const outcomeOf = (cause: Cause.Cause<unknown>): Effect.Effect<Outcome> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const error = sqlErrorIn(cause)?.reason.cause ?? Cause.squash(cause)
    const text = clean(error instanceof Error ? error.message : String(error))
    if (error instanceof Reject) {
      return { status: "parked", attempts: 1, reason: "rejected", error: clean(error.reason), due: null }
    }
    if (error instanceof Postpone) {
      const due = new Date(now + Duration.toMillis(error.for))
      return { status: "retrying", attempts: 0, reason: "postponed", error: "", due }
    }
    if (faultOf(cause) !== "event") {
      // Not counted: nothing is ever parked because the infrastructure was away.
      return { status: "retrying", attempts: 0, reason: "unavailable", error: text, due: new Date(now + laterMillis) }
    }
    const reason = Schema.isSchemaError(error) ? "schema" : "failed"
    return { status: "retrying", attempts: 1, reason, error: text, due: new Date(now + firstRetryMillis) }
  })

/** What may be kept and shown of an error: 2,000 characters of a line. */
const clean = (text: string): string =>
  text
    .slice(0, 2_000)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")
