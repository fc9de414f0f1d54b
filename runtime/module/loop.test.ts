import { describe, it } from "@effect/vitest"
import { Effect, Latch, References } from "effect"
import { until } from "../testing/bus.ts"
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
})
