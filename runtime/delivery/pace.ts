import { Effect } from "effect"

/** Deliveries in one transaction: many, because most of the cost is per transaction, but requests must not wait for long. */
const most = 200

/** A slice that took longer makes the next one smaller, so that each ends well within the bus's `HandleWithin` (ms). */
const slowMillis = 5_000

/** A slice that took less makes the next one larger (ms). */
const quickMillis = 1_000

/**
 * How many deliveries go into one transaction: fewer while the database is slow, so that what is done is committed
 * before the call of `handle` has to end. A slice that is interrupted counts as slow.
 */
export const makePace = () => {
  let size = most
  const shrink = Effect.sync(() => void (size = Math.max(1, size >> 2)))
  return {
    size: () => size,
    timed: <A, E, R>(slice: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        const began = performance.now()
        return Effect.tap(
          Effect.onInterrupt(slice, () => shrink),
          () => {
            const millis = performance.now() - began
            if (millis > slowMillis) return shrink
            if (millis < quickMillis) size = Math.min(most, size * 2)
            return Effect.void
          },
        )
      }),
  }
}
