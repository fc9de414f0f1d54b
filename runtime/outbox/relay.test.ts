import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { EventBus } from "../events/EventBus.ts"
import { Loops, makeLoops } from "../loop/loop.ts"
import { Database, DatabaseUnavailable } from "../sql/Database.ts"
import { relay, relayTurn } from "./relay.ts"

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

describe("A turn of the relay", () => {
  /** An outbox of rows that are read once, and the sizes of the sends. */
  const setUp = () => {
    const written: Array<object> = []
    const sends: Array<number> = []
    const write = (count: number) => {
      for (let n = 0; n < count; n++) written.push(row(BigInt(n)))
    }
    const sql = () => Effect.sync(() => [reading, ...written.splice(0)])
    const send: EventBus["Service"]["send"] = (records) => Effect.sync(() => void sends.push(records.length))
    return { write, sends, turn: relayTurn(sql as unknown as SqlClient.SqlClient, { send }, "/galleria/shop") }
  }
  const reading = { seq: null, at: 0n, file: 1n, sequence: 0n, xmin: 1n, xid: null }
  const row = (seq: bigint) => ({
    seq,
    event_id: crypto.randomUUID(),
    type: "sold",
    version: 1,
    key: "7",
    subject: "7",
    time: "2026-01-01T00:00:00.000Z",
    traceparent: null,
    data: "{}",
  })

  it.effect("lingers after a send of many events, and sends together what is written meanwhile", () =>
    Effect.gen(function* () {
      const { write, sends, turn } = setUp()
      write(5)
      const turning = yield* Effect.forkChild(turn)
      yield* TestClock.adjust("1 millis")
      write(1)
      yield* TestClock.adjust("45 millis")
      write(1)
      expect(sends).toEqual([5])
      yield* TestClock.adjust("5 millis")
      expect(sends).toEqual([5, 2])
      expect(yield* Fiber.join(turning)).toBe(false)
    }),
  )

  it.effect("reads again at once after a send of few", () =>
    Effect.gen(function* () {
      const { write, sends, turn } = setUp()
      write(4)
      expect(yield* turn).toBe(false)
      expect(sends).toEqual([4])
    }),
  )
})
