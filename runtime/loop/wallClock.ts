import { Clock, Effect } from "effect"
import { monotonicMillis } from "./monotonic.ts"

/** The tolerated difference between two clocks, in milliseconds. */
export const clockTolerance = 5 * 60 * 1_000

/** How long after a step of the wall clock nothing is deleted by age. */
const lastedMillis = 60 * 60 * 1_000

/**
 * Makes an effect that returns whether the wall clock may decide what to delete: not for an hour after it stepped by more
 * than five minutes. A clock that is wrong for a short time then causes no deletions.
 */
export const makeWallClockTrust = Effect.gen(function* () {
  const offset = Effect.gen(function* () {
    return (yield* Clock.currentTimeMillis) - (yield* monotonicMillis)
  })
  let known = yield* offset
  let steppedAt: number | undefined
  return Effect.gen(function* () {
    const [now, current] = [yield* monotonicMillis, yield* offset]
    if (Math.abs(current - known) > clockTolerance) {
      known = current
      steppedAt = now
      yield* Effect.logWarning("The wall clock stepped by more than 5 minutes; nothing is deleted by age for an hour")
    }
    if (steppedAt !== undefined && now - steppedAt < lastedMillis) return false
    steppedAt = undefined
    return true
  })
})
