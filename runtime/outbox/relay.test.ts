import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { EventBus } from "../events/EventBus.ts"
import { Loops, makeLoops } from "../loop/loop.ts"
import { Database, DatabaseUnavailable } from "../sql/Database.ts"
import { relay } from "./relay.ts"

describe("The relay of an instance that waits to take over", () => {
  it.effect("has no fault once its database is there again", () =>
    Effect.gen(function* () {
      const loops = makeLoops()
      let isAway = true
      const database = {
        writable: Effect.suspend(() => (isAway ? new DatabaseUnavailable({ reason: "away" }) : Effect.void)),
        exclusive: Effect.never,
      } as unknown as Database["Service"]
      const relaying = relay({ module: "shop", bell: { opens: () => Effect.void, claim: Effect.void } }).pipe(
        Effect.provideService(Database, database),
        Effect.provideService(EventBus, {} as unknown as EventBus["Service"]),
        Effect.provideService(Loops, loops),
      )
      yield* Effect.forkScoped(relaying)
      yield* TestClock.adjust("50 millis")
      expect(yield* loops.faultOf("shop.relay")).toContain("away")
      isAway = false
      yield* TestClock.adjust("10 seconds")
      expect(yield* loops.faultOf("shop.relay")).toBeUndefined()
    }).pipe(Effect.scoped),
  )
})
