import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, References } from "effect"
import { makeWallClockTrust } from "./wallClock.ts"

const hour = 60 * 60 * 1_000

/** A wall clock and a monotonic clock that are set by hand, in milliseconds. */
const clocks = () => {
  const at = { wall: 1_000_000_000_000, monotonic: 0 }
  const clock: Clock.Clock = {
    sleep: Effect.sleep,
    currentTimeNanosUnsafe: () => BigInt(at.wall) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(at.wall) * 1_000_000n),
    currentTimeMillisUnsafe: () => at.wall,
    currentTimeMillis: Effect.sync(() => at.wall),
    monotonicTimeNanosUnsafe: () => BigInt(at.monotonic) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(at.monotonic) * 1_000_000n),
  }
  const pass = (millis: number) => {
    at.wall += millis
    at.monotonic += millis
  }
  return { at, clock, pass }
}

describe("the trust in the wall clock", () => {
  it.effect("lasts while it runs as the monotonic clock does, and a little apart", () => {
    const { at, clock, pass } = clocks()
    return Effect.gen(function* () {
      const trusted = yield* makeWallClockTrust
      for (let n = 0; n < 48; n++) {
        pass(hour)
        at.wall += 1_000
        expect(yield* trusted).toBe(true)
      }
    }).pipe(Effect.provideService(Clock.Clock, clock))
  })

  it.effect("is gone for an hour after each step of more than five minutes", () => {
    const { at, clock, pass } = clocks()
    return Effect.gen(function* () {
      const trusted = yield* makeWallClockTrust
      at.wall += 61 * 24 * hour
      expect(yield* trusted).toBe(false)
      pass(60_000)
      at.wall -= 61 * 24 * hour
      expect(yield* trusted).toBe(false)
      pass(hour - 1)
      expect(yield* trusted).toBe(false)
      pass(1)
      expect(yield* trusted).toBe(true)
    }).pipe(Effect.provideService(Clock.Clock, clock), Effect.provideService(References.MinimumLogLevel, "None"))
  })
})
