import { expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { longRunning } from "./longRunning.ts"

/** Work that takes some seconds; its result is how often it has begun. */
const working = (seconds: number) =>
  Effect.gen(function* () {
    let begun = 0
    const asked = yield* longRunning(
      Effect.suspend(() => {
        const result = ++begun
        return Effect.as(Effect.sleep(seconds * 1_000), result)
      }),
    )
    /** What a request gets, that comes now, after so many seconds. */
    const ask = (seconds: number) =>
      Effect.gen(function* () {
        const request = yield* Effect.forkChild(asked)
        yield* TestClock.adjust(seconds * 1_000)
        return yield* Fiber.join(request)
      })
    return { asked, ask }
  })

it.effect("Each request gets a result of its own, and those at once share one", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { asked, ask } = yield* working(10)
      const first = yield* Effect.forkChild(asked)
      yield* TestClock.adjust("5 seconds")
      expect([yield* ask(5), yield* Fiber.join(first)]).toEqual([1, 1])
      expect(yield* ask(10)).toBe(2)
    }),
  ),
)

it.effect(
  "Work that takes longer than a request continues, and the next request gets its result while that is fresh",
  () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { ask } = yield* working(90)
        expect(yield* ask(55)).toBeUndefined()
        expect(yield* ask(35)).toBe(1)
        expect(yield* ask(55)).toBeUndefined()
        // It has ended 30 s ago.
        yield* TestClock.adjust("65 seconds")
        expect(yield* ask(0)).toBe(2)
        expect(yield* ask(55)).toBeUndefined()
        yield* TestClock.adjust("100 seconds")
        expect(yield* ask(55)).toBeUndefined()
        expect(yield* ask(35)).toBe(4)
      }),
    ),
)
