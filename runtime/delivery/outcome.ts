import { Cause, Clock, Duration, Effect, type Schedule, Schema } from "effect"
import type { Received } from "../events/EventBus.ts"
import { clean, textOf } from "../loop/defect.ts"
import { Postpone, Reject } from "../module/Reaction.ts"
import { defaultRetry, delayAfter } from "../loop/schedule.ts"
import { sqlErrorIn } from "../sql/transaction.ts"
import { withoutAddresses } from "../telemetry/logs.ts"
import { faultOf } from "../sql/fault.ts"

/** What becomes of a delivery that does not take effect. */
export type Outcome =
  | { readonly status: "waiting" }
  | {
      readonly status: "retrying" | "parked"
      readonly attempts: number
      readonly reason: string
      readonly error: string
      /** When it is tried again; null when an operator decides. */
      readonly due: Date | null
    }

/** It waits behind an earlier event of its key. */
export const waiting: Outcome = { status: "waiting" }

/** Bounds of a postponement: a shorter one would spin, a longer one would hide the event from operators. */
const postponed = { leastMillis: 1_000, mostMillis: 24 * 60 * 60 * 1_000 }

/** The delay of an event whose statement cannot be done now, though the database answers. */
const laterMillis = 10_000

/** What becomes of an event whose first attempt failed by `cause`. `schedule` decides when it is retried. */
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

/** Takes the place of a reaction's name: the record could not be read, so no reaction ran for it. */
export const ofNoReaction = "*"

/** Shorter texts of a record are not personal data, and are common in any message. */
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

/** A message without texts of the record and without addresses: no personal data may get into a log. */
const withoutData = (text: string, record: Pick<Received, "key" | "value" | "headers">): string =>
  withoutAddresses(
    textsOf(record)
      .filter((own) => own.length >= shortest && text.includes(own))
      .toSorted((a, b) => b.length - a.length)
      .reduce((rest, own) => rest.replaceAll(own, "…"), text),
  )

/**
 * The log line of an event that failed: which reaction, why, and what comes next. It contains no data of the event. Why
 * data do not match a schema is left out, because that text consists of values.
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
