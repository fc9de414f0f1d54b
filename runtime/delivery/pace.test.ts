import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { vi } from "vitest"
import { makePace } from "./pace.ts"

/** A slice that takes so long. */
const taking = (millis: number) => Effect.sync(() => void vi.advanceTimersByTime(millis))

describe("The pace of a consumer", () => {
  it.live("makes slices smaller while they are slow, down to one event, and larger again while they are quick", () =>
    Effect.acquireUseRelease(
      Effect.sync(() => vi.useFakeTimers({ toFake: ["performance"] })),
      () =>
        Effect.gen(function* () {
          const { size, timed } = makePace()
          const sizes: Array<number> = []
          for (const millis of [900, 5_100, 5_100, 3_000, 20_000, 20_000, 900, 900, 1_100]) {
            yield* timed(taking(millis))
            sizes.push(size())
          }
          expect(sizes).toEqual([200, 50, 12, 12, 3, 1, 2, 4, 4])
          for (let n = 0; n < 10; n++) yield* timed(taking(1))
          expect(size()).toBe(200)
        }),
      () => Effect.sync(() => vi.useRealTimers()),
    ),
  )

  it.live("takes a slice that was interrupted for slow, and leaves the size when one fails", () =>
    Effect.gen(function* () {
      const { size, timed } = makePace()
      const begun = yield* Deferred.make<void>()
      const slice = yield* Effect.forkChild(timed(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(slice)
      expect(size()).toBe(50)
      yield* Effect.flip(timed(Effect.fail("no")))
      expect(size()).toBe(50)
    }),
  )
})
