import { Clock, Effect } from "effect"

/** Milliseconds of a monotonic clock, for durations. Use wall-clock time for what is stored or compared between processes. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) =>
  Number(nanos / 1_000_000n),
)
