import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { memo } from "./memo.ts"

it.effect("is made once for all who ask within its time, also for those that ask while it is made", () =>
  Effect.gen(function* () {
    let made = 0
    const gate = yield* Deferred.make<void>()
    const shared = yield* memo(
      Effect.andThen(
        Deferred.await(gate),
        Effect.sync(() => ++made),
      ),
      1_000,
    )
    const first = yield* Effect.forkChild(shared, { startImmediately: true })
    const second = yield* Effect.forkChild(shared, { startImmediately: true })
    yield* Fiber.interrupt(first)
    yield* Deferred.succeed(gate, undefined)
    expect(yield* Fiber.join(second)).toBe(1)
    yield* TestClock.adjust(999)
    expect(yield* shared).toBe(1)
    yield* TestClock.adjust(1)
    expect(yield* shared).toBe(2)
  }),
)
