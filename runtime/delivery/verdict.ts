import { Effect, type Schedule } from "effect"
import { delayAfter } from "../loop/schedule.ts"
import type { DeadLetterRow, FailedAttempt } from "./deadLetterTable.ts"
import type { Outcome } from "./outcome.ts"

/** The outcome of an attempt that failed. */
export type Failure = Exclude<Outcome, { readonly status: "waiting" }>

/** An event that was postponed at each attempt is parked after this time, counted from the first or from its redrive. */
const mostPostponedMillis = 24 * 60 * 60 * 1_000

type Attempted = Pick<DeadLetterRow, "attempts" | "reason" | "postponed_at" | "first_failed_at" | "redriven_at">

/**
 * What becomes of a dead letter whose attempt failed at `now`. It is parked when the outcome says so, when `schedule` is
 * done, or when it was postponed for too long. A failure that is not counted (`attempts` 0) brings its own `due`.
 */
export const verdictOn = (
  deadLetter: Attempted,
  outcome: Failure,
  schedule: Schedule.Schedule<unknown>,
  now: Date,
): Effect.Effect<FailedAttempt> =>
  Effect.gen(function* () {
    const { reason, error } = outcome
    const attempts = deadLetter.attempts + outcome.attempts
    const postponed_at = reason === "postponed" ? postponedSince(deadLetter, now) : null
    const parked: FailedAttempt = { status: "parked", attempts, due: null, reason, error, postponed_at }
    if (outcome.status === "parked") return parked
    if (outcome.attempts === 0) {
      const isTooLong = postponed_at !== null && now.getTime() - postponed_at.getTime() >= mostPostponedMillis
      return isTooLong ? parked : { ...parked, status: "retrying", due: outcome.due }
    }
    const delay = yield* delayAfter(schedule, attempts)
    return delay === undefined ? parked : { ...parked, status: "retrying", due: new Date(now.getTime() + delay) }
  })

/** The consumer stores no `postponed_at`: of an event that it postponed, the first failure counts. */
const postponedSince = ({ reason, postponed_at, first_failed_at, redriven_at }: Attempted, now: Date): Date => {
  const since = (reason === "postponed" ? (postponed_at ?? first_failed_at) : null) ?? now
  return redriven_at !== null && redriven_at > since ? redriven_at : since
}
