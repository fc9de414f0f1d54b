import { Clock, Effect, Option } from "effect"
import { EventBus, type Received } from "../../events/EventBus.ts"
import { type Budget, readWindows } from "../journey/log.ts"
import { windowsAround } from "../journey/windows.ts"
import { scan } from "./scan.ts"

/** Bounds of reading the log around a time. */
const most = { records: 20_000, bytes: 8 * 1024 * 1024, millis: 400 }

/** The time (Unix ms) in a UUIDv7; undefined for other ids. */
export const timeIn = (id: string): number | undefined =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/iu.test(id)
    ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
    : undefined

/** The records that match and were appended around a time, and whether there was enough time to read all. */
export const eventsAround = (topics: ReadonlyArray<string>, time: number, matches: (record: Received) => boolean) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const budget: Budget = { ...most, until: (yield* Clock.currentTimeMillis) + most.millis }
    const records: Array<Received> = []
    const keep = (record: Received) => {
      if (matches(record)) records.push(record)
    }
    const windows = windowsAround([], time)
    const ends = yield* Effect.timeout(bus.ends(topics), most.millis)
    const filled = ends.filter(({ first, next }) => next > first)
    const wholes = yield* Effect.forEach(filled, (place) => readWindows(place, windows, budget, keep), {
      concurrency: 8,
    })
    return { records, isWhole: !wholes.includes(false) }
  })

/** What was appended around the time in an id; where that is nothing, what a scan finds. */
export const scanFrom = (bus: EventBus["Service"], time: number, options: Parameters<typeof scan>[1]) =>
  Effect.gen(function* () {
    const near = yield* Effect.option(
      Effect.provideService(eventsAround(options.topics, time, options.matches), EventBus, bus),
    )
    if (Option.isNone(near) || near.value.records.length === 0) return yield* scan(bus, options)
    const records = near.value.records.toSorted((a, b) => b.time - a.time).slice(0, options.bounds.limit)
    return { records, next: undefined, scannedTo: undefined }
  })
