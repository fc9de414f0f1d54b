import { Cause } from "effect"
import { SqlError } from "effect/sql"
import { DatabaseUnavailable } from "./Database.ts"
import { sqlErrorIn } from "./transaction.ts"

/**
 * The class of a failure (DELIVERY.md, *Whose fault it is*).
 *
 * - `infrastructure`: every event would have failed; retry with back-off.
 * - `again`: a conflict of two transactions; retry at once.
 * - `event`: this event cannot be handled; it becomes a dead letter.
 */
export type Fault = "infrastructure" | "again" | "event"

const infrastructure = new Set([
  "ConnectionError",
  "AuthenticationError",
  "AuthorizationError",
  "StatementTimeoutError",
])
const again = new Set(["DeadlockError", "SerializationError", "LockTimeoutError"])

/**
 * PostgreSQL's class 53 (insufficient resources), 57 (operator intervention), 58 (system error), XX (internal error, such
 * as a damaged page or index), 25006 (read only), 25P03 and 25P04 (the session was ended because its transaction was idle
 * or took too long, as after the process was frozen).
 */
const awayCodes = /^(?:53|57|58|XX)|^25(?:006|P03|P04)$/u

export const faultOf = (cause: Cause.Cause<unknown>): Fault => {
  const unavailable = cause.reasons.some((reason) => {
    const error = Cause.isDieReason(reason) ? reason.defect : Cause.isFailReason(reason) ? reason.error : undefined
    return error instanceof DatabaseUnavailable
  })
  if (unavailable) return "infrastructure"
  const error = sqlErrorIn(cause)
  if (error === undefined) return "event"
  if (again.has(error.reason._tag)) return "again"
  if (infrastructure.has(error.reason._tag) || awayCodes.test(codeOf(error))) return "infrastructure"
  return "event"
}

/** PostgreSQL's SQLSTATE; empty for an error that does not come from the server. */
export const codeOf = (error: SqlError.SqlError): string => {
  const cause = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
}
