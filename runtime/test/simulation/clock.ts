import { type Clock, Duration, Effect } from "effect"

/** Sleeps that are deadlines of other work (ms): the tick of `watch.ts`, and all that is longer than any work sleeps. */
const tickMillis = 250
const longestSleepMillis = 3_000

const start = Date.UTC(2026, 0, 1)

/**
 * A clock that moves by `advance`, and by the sleeps of work, which end at once. Deadlines never end: the simulation
 * decides which calls have no answer.
 */
export const makeClock = () => {
  let now = start
  const millis = () => now
  const nanos = () => BigInt(now) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => {
      const wanted = Duration.toMillis(duration)
      if (wanted === tickMillis || wanted > longestSleepMillis) return Effect.never
      return Effect.sync(() => void (now += wanted))
    },
  }
  return { clock, now: millis, advance: (by: number) => void (now += by), restart: () => void (now = start) }
}

export type SimulatedClock = ReturnType<typeof makeClock>
