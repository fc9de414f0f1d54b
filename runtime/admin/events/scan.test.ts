import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { record } from "../../test/harness/bus.ts"
import { makeLog } from "../../test/simulation/Log.ts"
import type { Received } from "../../events/EventBus.ts"
import { scan, type ScanPosition } from "./scan.ts"

const topics = ["a", "b"]

/** A log with as many records, one each millisecond, that take turns between topics and keys. */
const logOf = (count: number) =>
  Effect.gen(function* () {
    let now = 0
    const { bus } = makeLog(() => now)
    for (; now < count; now++) yield* bus.send([record(topics[now % 2]!, `key ${now % 7}`, String(now))])
    return bus
  })

const bounds = { limit: 50, scanned: 20_000, millis: 60_000 }
const all = () => true
const timesOf = (records: ReadonlyArray<Received>) => records.map(({ time }) => time)
/** From `from` down to, and without, `to`. */
const down = (from: number, to: number) => Array.from({ length: from - to }, (_, n) => from - n)

describe("scan", () => {
  it.effect("returns the newest records of all partitions, and goes on from there to the first", () =>
    Effect.gen(function* () {
      const bus = yield* logOf(1_500)
      const found: Array<Received> = []
      let from: ScanPosition | undefined
      do {
        const page = yield* scan(bus, { topics, matches: all, from, bounds })
        expect(timesOf(page.records)).toEqual(down(1_499 - found.length, 1_449 - found.length))
        found.push(...page.records)
        expect(page.scannedTo).toBe(page.next === undefined ? undefined : found.at(-1)!.time)
        from = page.next
      } while (from !== undefined)
      expect(found).toHaveLength(1_500)
    }),
  )

  it.effect("continues where it was although records were appended meanwhile", () =>
    Effect.gen(function* () {
      let now = 0
      const { bus } = makeLog(() => now)
      for (; now < 20; now++) yield* bus.send([record("a", `key ${now}`, "")])
      const first = yield* scan(bus, { topics, matches: all, bounds: { ...bounds, limit: 5 } })
      for (; now < 40; now++) yield* bus.send([record(now % 2 ? "a" : "b", `key ${now}`, "")])
      const rest = yield* scan(bus, { topics, matches: all, from: first.next, bounds })
      expect(timesOf([...first.records, ...rest.records])).toEqual(down(19, -1))
    }),
  )

  it.effect("returns only what matches, and ends at a bound without having found anything", () =>
    Effect.gen(function* () {
      const bus = yield* logOf(1_000)
      const isOld = ({ time }: Received) => time < 10
      const some = yield* scan(bus, { topics, matches: isOld, bounds: { ...bounds, scanned: 600 } })
      expect([some.records, some.scannedTo]).toEqual([[], 400])
      const rest = yield* scan(bus, { topics, matches: isOld, from: some.next, bounds })
      expect([timesOf(rest.records), rest.next, rest.scannedTo]).toEqual([down(9, -1), undefined, undefined])
    }),
  )

  it.effect("looks at something though it has no time, and ends then", () =>
    Effect.gen(function* () {
      const bus = yield* logOf(1_000)
      const found = yield* scan(bus, { topics, matches: () => false, bounds: { ...bounds, millis: 0 } })
      expect(found.scannedTo).toBe(999)
      expect(found.next).toBeDefined()
    }),
  )

  it.effect("ends at the first record that is too old", () =>
    Effect.gen(function* () {
      const bus = yield* logOf(100)
      const found = yield* scan(bus, { topics, matches: all, since: 90, bounds })
      expect(found).toMatchObject({ next: undefined, scannedTo: undefined })
      expect(timesOf(found.records)).toEqual(down(99, 89))
    }),
  )

  it.effect("passes holes between offsets, and reads again what took too long", () =>
    Effect.gen(function* () {
      const bus = yield* logOf(1_000)
      const holed: Pick<typeof bus, "ends" | "read"> = {
        ends: bus.ends,
        // 50 records for each read, and none with an offset from 5 to 99.
        read: (request) =>
          Effect.map(bus.read({ ...request, max: Math.min(request.max, 50) }), (found) => ({
            ...found,
            records: found.records.filter(({ offset }) => offset < 5 || offset >= 100),
          })),
      }
      const isKept = ({ offset }: Received) => offset < 5 || offset >= 100
      const most = { ...bounds, limit: 1_000 }
      const whole = yield* scan(bus, { topics, matches: isKept, bounds: most })
      const found = yield* scan(holed, { topics, matches: all, bounds: most })
      expect(timesOf(found.records)).toEqual(timesOf(whole.records))
      const inHole = Object.fromEntries(topics.flatMap((topic) => [0, 1].map((one) => [`${topic}/${one}`, 90])))
      const behind = yield* scan(holed, { topics, matches: all, from: inHole, bounds: { ...bounds, limit: 10 } })
      expect(behind.records.map(({ offset }) => offset < 5)).toEqual(Array.from({ length: 10 }, () => true))
    }),
  )

  it.effect("looks at the topics that exist, and finds nothing in a log without records", () =>
    Effect.gen(function* () {
      const { bus } = makeLog(() => 0)
      expect(yield* scan(bus, { topics, matches: all, bounds })).toEqual({
        records: [],
        next: undefined,
        scannedTo: undefined,
      })
    }),
  )
})
