import { Cause, Clock, Duration, Effect, Exit, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import type { Outcome } from "../inbox/Inbox.ts"
import { Postpone, Reject } from "../module/Reaction.ts"
import type { Delivery } from "./Delivery.ts"
import { faultOf } from "./fault.ts"

/** The first wait of an event that failed; its retries follow the schedule. */
const firstRetryMillis = 1_000

/**
 * Runs the reaction for one event in a savepoint of the running transaction. Undefined when it went well, else what
 * becomes of the event. Fails by the fault of the infrastructure alone.
 */
export const attempt = (sql: SqlClient.SqlClient, delivery: Delivery) =>
  Effect.gen(function* () {
    if (delivery.run === undefined) return delivery.outcome
    const { reaction, event } = delivery.run
    const exit = yield* Effect.exit(sql.withTransaction(reaction.run([event])))
    if (Exit.isSuccess(exit)) return undefined
    if (faultOf(exit.cause) !== "event") return yield* Effect.failCause(exit.cause)
    return yield* outcomeOf(exit.cause)
  })

/** What becomes of an event whose handling failed like this. */
export const outcomeOf = (cause: Cause.Cause<unknown>): Effect.Effect<Outcome> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const error = Cause.squash(cause)
    const text = clean(error instanceof Error ? error.message : String(error))
    if (error instanceof Reject) {
      return { status: "parked", attempts: 1, reason: "rejected", error: clean(error.reason), due: null }
    }
    if (error instanceof Postpone) {
      const due = new Date(now + Duration.toMillis(error.for))
      return { status: "retrying", attempts: 0, reason: "postponed", error: "", due }
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
