import { Cause, Clock, Duration, Effect, type Schedule, Schema } from "effect"
import type { Received } from "../events/EventBus.ts"
import type { Outcome } from "./inbox.ts"
import { clean, textOf } from "../loop/defect.ts"
import { Postpone, Reject } from "../module/Reaction.ts"
import { defaultRetry, delayAfter } from "../loop/schedule.ts"
import { sqlErrorIn } from "../sql/transaction.ts"
import { withoutAddresses } from "../telemetry/logs.ts"
import { faultOf } from "../sql/fault.ts"

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

/** In the place of a reaction's name: the record could not be read, so no reaction ever saw it. */
export const ofNoReaction = "*"

/** Shorter texts of a record are no data of a person, and common in any message. */
const shortest = 3

/** The texts in a JSON value, members' names left out. */
const textsIn = (value: unknown): ReadonlyArray<string> =>
  typeof value === "string"
    ? [value]
    : typeof value === "object" && value !== null
      ? Object.values(value).flatMap(textsIn)
      : []

const textsOf = ({ key, value, headers }: Pick<Received, "key" | "value" | "headers">): ReadonlyArray<string> => {
  const own = [...Object.values(headers), ...(key === null ? [] : [key])]
  try {
    return [...own, ...textsIn(JSON.parse(Buffer.from(value ?? []).toString()))]
  } catch {
    // No JSON, or nested too deeply to be read.
    return own
  }
}

/** A message without what the record says and without addresses: personal data have no place in a log. */
const withoutData = (text: string, record: Pick<Received, "key" | "value" | "headers">): string =>
  withoutAddresses(
    textsOf(record)
      .filter((said) => said.length >= shortest && text.includes(said))
      .toSorted((a, b) => b.length - a.length)
      .reduce((rest, said) => rest.replaceAll(said, "…"), text),
  )

/**
 * What became of an event that failed, for the log: which reaction, why, and what comes next. The reason is given without
 * the event's data; why data do not match a schema is left out, for that text consists of values.
 */
export const failureOf = (
  delivery: { readonly reaction: string; readonly key: string | null; readonly record: Omit<Received, "offset"> },
  { status, reason, error }: Exclude<Outcome, { readonly status: "waiting" }>,
): string => {
  const { reaction, key, record } = delivery
  const what = reaction === ofNoReaction ? `cannot read a record of ${record.topic}` : `${reaction} failed`
  const why = reason === "schema" ? `the data do not match the schema of ${record.topic}` : withoutData(error, record)
  const next = status === "parked" ? "it is parked" : "it is tried again"
  return `${what} (${reason})${why === "" ? "" : `: ${why}`}; ${next}${key === null ? "" : ", and later events of its key wait"}`
}
