import { Clock, Effect, Exit } from "effect"
import { EventBus, type ReadResult, type Received } from "../../events/EventBus.ts"
import { partitionOf } from "../../events/partition.ts"
import type { JourneyGap } from "./OrderJourney.ts"
import type { AskedLog, SeenEvent } from "./JourneyPart.ts"
import { seenOf } from "./part.ts"
import { windowsAround, type Window } from "./windows.ts"

/** Bounds of reading the log for one journey. */
const most = { records: 5_000, bytes: 4 * 1024 * 1024, millis: 300 }

/** Records of one read. */
const perRead = 500

/** Everything that one journey, or search, may still read. */
export interface Budget {
  records: number
  bytes: number
  readonly until: number
}

const spend = (budget: Budget, records: ReadonlyArray<Received>) => {
  budget.records -= records.length
  for (const { value } of records) budget.bytes -= value?.byteLength ?? 0
}

/** Reads the windows of one partition, and returns whether it came to the end of each. */
export const readWindows = (
  place: { readonly topic: string; readonly partition: number },
  windows: ReadonlyArray<Window>,
  budget: Budget,
  keep: (record: Received) => void,
) =>
  Effect.gen(function* () {
    const { read } = yield* EventBus
    for (const { from, to } of windows) {
      let begin: { readonly time: number } | { readonly offset: number } = { time: Math.max(0, from) }
      for (;;) {
        const left = budget.until - (yield* Clock.currentTimeMillis)
        if (left <= 0 || budget.records <= 0 || budget.bytes <= 0) return false
        const max = Math.min(perRead, budget.records)
        const { records, next, end }: ReadResult = yield* read({ ...place, from: begin, max, within: left })
        spend(budget, records)
        for (const record of records) if (record.time <= to) keep(record)
        if (next >= end || (records.at(-1)?.time ?? 0) > to) break
        begin = { offset: next }
      }
    }
    return true
  })

/**
 * The events of an order on the log, read outside of any group: of each topic the partition of the user's key, around the
 * times that are known. What was not read is a gap.
 */
export const eventsOnLog = ({ order_id, user_id, topics, times }: AskedLog) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const now = yield* Clock.currentTimeMillis
    const windows = windowsAround(times, now)
    const budget: Budget = { records: most.records, bytes: most.bytes, until: now + most.millis }
    const seen: Array<SeenEvent> = []
    const gaps: Array<JourneyGap> = []
    const ends = yield* Effect.exit(Effect.timeout(bus.ends(topics), most.millis))
    if (Exit.isFailure(ends)) return { seen, gaps: [{ why: "the event log does not answer" }] }

    const partitions = new Map<string, number>()
    for (const { topic } of ends.value) partitions.set(topic, (partitions.get(topic) ?? 0) + 1)
    const keep = (record: Received) => {
      const event = seenOf(record, order_id)
      if (event !== undefined) seen.push(event)
    }
    const readTopic = ([topic, count]: readonly [string, number]) =>
      Effect.gen(function* () {
        const place = { topic, partition: partitionOf(String(user_id), count) }
        const exit = yield* Effect.exit(readWindows(place, windows, budget, keep))
        if (Exit.isFailure(exit)) gaps.push({ topic, why: "the event log does not answer" })
        else if (!exit.value) gaps.push({ topic, why: "there was not enough time to read all of it" })
      })
    yield* Effect.forEach([...partitions], readTopic, { concurrency: "unbounded", discard: true })
    return { seen, gaps }
  })
