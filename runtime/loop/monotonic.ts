import { Clock, Effect } from "effect"

/** Milliseconds of a clock that never steps: for durations. What is kept or compared between processes is wall-clock time. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) =>
  Number(nanos / 1_000_000n),
)
