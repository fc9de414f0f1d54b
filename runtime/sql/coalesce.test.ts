import { expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Loops, makeLoops } from "../loop/loop.ts"
import { coalesce } from "./coalesce.ts"
import { DatabaseUnavailable } from "./Database.ts"
import { Patience } from "./patience.ts"

it.effect("Callers who travel together are watched: a run that does not end stands still, and rest does not", () =>
  Effect.gen(function* () {
    const loops = makeLoops()
    const go = yield* Deferred.make<void>()
    const call = yield* coalesce(
      "shop.coalesced-1",
      (inputs: ReadonlyArray<number>) => Effect.as(Deferred.await(go), inputs),
      false,
    ).pipe(Effect.provideService(Loops, loops))
    yield* TestClock.adjust("10 minutes")
    expect(yield* loops.still(60_000)).toEqual([])
    const calling = yield* Effect.forkChild(call(1))
    yield* TestClock.adjust("2 minutes")
    expect(yield* loops.still(60_000)).toEqual(["shop.coalesced-1"])
    yield* Deferred.succeed(go, undefined)
    expect(yield* Fiber.join(calling)).toBe(1)
    yield* TestClock.adjust("1 minute")
    expect(yield* loops.still(60_000)).toEqual([])
  }).pipe(Effect.scoped),
)

it.effect(
  "After a run of several, the callers of the next millisecond share a run; after a single one they don't wait",
  () =>
    Effect.gen(function* () {
      const runs: Array<ReadonlyArray<number>> = []
      const call = yield* coalesce(
        "shop.coalesced-1",
        (inputs: ReadonlyArray<number>) => Effect.sync(() => (runs.push(inputs), inputs)),
        false,
      )
      const together = (...inputs: ReadonlyArray<number>) => Effect.forEach(inputs, call, { concurrency: "unbounded" })
      yield* together(1)
      yield* together(2, 3, 4, 5)
      const fifth = yield* Effect.forkChild(call(6))
      yield* TestClock.adjust("500 micros")
      const sixth = yield* Effect.forkChild(call(7))
      yield* Effect.yieldNow
      expect(runs).toEqual([[1], [2, 3, 4, 5]])
      yield* TestClock.adjust("500 micros")
      expect([yield* Fiber.join(fifth), yield* Fiber.join(sixth)]).toEqual([6, 7])
      expect(runs).toEqual([[1], [2, 3, 4, 5], [6, 7]])
    }).pipe(Effect.scoped),
)

it.live("A patient caller fails when its patience ends, and its input is removed from the next run", () =>
  Effect.gen(function* () {
    const runs: Array<ReadonlyArray<number>> = []
    const go = yield* Deferred.make<void>()
    const call = yield* coalesce(
      "shop.coalesced-1",
      (inputs: ReadonlyArray<number>) => Effect.as(Deferred.await(go), (runs.push(inputs), inputs)),
      true,
    )
    const within = (left: number) => Effect.provideService(Patience, { left })
    const first = yield* Effect.forkChild(call(1).pipe(within(Number.POSITIVE_INFINITY)))
    while (runs.length === 0) yield* Effect.sleep(1)
    const late = yield* Effect.exit(call(2).pipe(within(20)))
    expect(Exit.isFailure(late) && Cause.squash(late.cause)).toBeInstanceOf(DatabaseUnavailable)
    const last = yield* Effect.forkChild(call(3).pipe(within(60_000)))
    yield* Effect.yieldNow
    yield* Deferred.succeed(go, undefined)
    expect([yield* Fiber.join(first), yield* Fiber.join(last)]).toEqual([1, 3])
    expect(runs).toEqual([[1], [3]])
  }).pipe(Effect.scoped),
)
