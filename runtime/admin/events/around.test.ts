import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { record } from "../../test/harness/bus.ts"
import { makeLog } from "../../test/simulation/Log.ts"
import type { Received } from "../../events/EventBus.ts"
import { scanFrom, timeIn } from "./around.ts"

const began = Date.UTC(2026, 0, 2)

/** The keys of the records that are found from a time on, of a log with a record each second, and by a scan of few records. */
const keysFrom = (time: number, matches: (record: Received) => boolean) =>
  Effect.gen(function* () {
    let now = began
    const { bus } = makeLog(() => now)
    for (let n = 0; n < 1_000; n++) {
      now = began + n * 1_000
      yield* bus.send([record("a", `key ${n}`, "")])
    }
    const bounds = { limit: 50, scanned: 100, millis: 60_000 }
    const { records, scannedTo } = yield* scanFrom(bus, time, { topics: ["a"], matches, bounds })
    return { keys: records.map(({ key }) => key), scannedTo }
  })

const isOf = (key: string) => (record: Received) => record.key === key

it("The time of a UUIDv7 is in its first 48 bits, and other ids have none", () => {
  expect(timeIn("019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968")).toBe(0x01_9b_7f_4e_5b_02)
  expect(timeIn("019B7F4E-5B02-7C11-8F0A-1D2C3B4A5968")).toBe(0x01_9b_7f_4e_5b_02)
  for (const id of ["019b7f4e-5b02-4c11-8f0a-1d2c3b4a5968", "019b7f4e", "order 7"]) expect(timeIn(id)).toBeUndefined()
})

it.effect("A record is found around its time, however many came later", () =>
  Effect.gen(function* () {
    expect(yield* keysFrom(began + 100_000, isOf("key 100"))).toEqual({ keys: ["key 100"], scannedTo: undefined })
    const around = yield* keysFrom(began + 100_000, () => true)
    expect(around.keys.slice(-8)).toEqual(Array.from({ length: 8 }, (_, n) => `key ${105 - n}`))
  }),
)

it.effect("What is not around its time is looked for from the end, as far as a scan goes", () =>
  Effect.gen(function* () {
    expect((yield* keysFrom(began + 100_000, isOf("key 950"))).keys).toEqual(["key 950"])
    const far = yield* keysFrom(began + 100_000, isOf("key 500"))
    expect([far.keys, far.scannedTo === undefined]).toEqual([[], false])
  }),
)
