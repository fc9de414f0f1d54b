import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Latch, References } from "effect"
import { TestClock } from "effect/testing"
import { until } from "../test/harness/bus.ts"
import { loop, Loops, makeLoops } from "./loop.ts"

const deaths: ReadonlyArray<readonly [what: string, defect: unknown]> = [
  ["an error", new Error("no")],
  ["nothing", undefined],
  ["what has no text", Object.create(null)],
  ["an error whose message is no text", Object.assign(new Error(), { message: 5 })],
]

describe("loop", () => {
  for (const [what, defect] of deaths) {
    it.live(`goes on after a turn that died of ${what}`, () =>
      Effect.gen(function* () {
        let turns = 0
        const turn = Effect.suspend(() => (++turns === 1 ? Effect.die(defect) : Effect.succeed(false)))
        yield* Effect.forkChild(loop({ name: "test", turn, wake: Latch.makeUnsafe(true), poll: "1 hour" }))
        yield* until(
          "it turned again",
          Effect.sync(() => turns === 2),
        )
      }).pipe(Effect.provideService(Loops, makeLoops()), Effect.provideService(References.MinimumLogLevel, "None")),
    )
  }

  it.effect("waits from 0.1 s to 10 s between turns that fail, and from 0.1 s again once one went well", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const turn = Effect.gen(function* () {
        began.push(yield* Clock.currentTimeMillis)
        return yield* began.length % 10 === 0 ? Effect.succeed(true) : Effect.fail("no")
      })
      yield* Effect.forkChild(loop({ name: "test", turn, wake: Latch.makeUnsafe(true), poll: "1 hour" }))
      for (let second = 0; began.length < 30; second++) yield* TestClock.adjust("1 second")
      const waits = began.slice(1).map((at, n) => at - began[n]!)
      // After 8 failures or more the wait is as long as it gets; the tenth turn goes well, and the next is at once.
      for (const from of [0, 10, 20]) {
        expect(waits[from], "the first wait").toBeLessThanOrEqual(120)
        expect(waits[from + 1]).toBeGreaterThanOrEqual(160)
        expect(waits[from + 8], "the last wait").toBeGreaterThanOrEqual(8_000)
        expect(waits[from + 8]).toBeLessThanOrEqual(12_000)
        if (from > 0) expect(waits[from - 1], "after a turn that went well").toBe(0)
      }
    }).pipe(Effect.provideService(Loops, makeLoops()), Effect.provideService(References.MinimumLogLevel, "None")),
  )

  it.effect("turns again after `poll`, or sooner when a turn says in how many milliseconds there is more", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const turn = Effect.gen(function* () {
        began.push(yield* Clock.currentTimeMillis)
        return [false, 30, 5_000, true, false][began.length - 1] ?? false
      })
      yield* Effect.forkChild(loop({ name: "test", turn, wake: Latch.makeUnsafe(false), poll: "1 second" }))
      for (let n = 0; n < 310; n++) yield* TestClock.adjust("10 millis")
      expect(began).toEqual([0, 1_000, 1_030, 2_030, 2_030, 3_030])
    }).pipe(Effect.provideService(Loops, makeLoops())),
  )
})
