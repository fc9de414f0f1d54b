import { Effect } from "effect"
import {
  type EventBus,
  type EventBusError,
  type Partition,
  partitionName,
  type Received,
} from "../../events/EventBus.ts"

/** How much one scan may read. */
export interface Bounds {
  /** The records that it returns. */
  readonly limit: number
  /** The records that it looks at. */
  readonly scanned: number
  /** The time that it takes. It ends after the read during which this has passed. */
  readonly millis: number
}

/** Where a scan continues: for each partition, by name, the offset before which its records have not been looked at. */
export type ScanPosition = Readonly<Record<string, number>>

export interface Scan {
  /** The records that match, newest first. */
  readonly records: ReadonlyArray<Received>
  /** Undefined when everything was looked at. */
  readonly next: ScanPosition | undefined
  /** The time (Unix ms) of the last record looked at; undefined when everything was looked at. */
  readonly scannedTo: number | undefined
}

/** Records that one read asks for. */
const perRead = 500

/** Time-out of one read. */
const readWithin = "2 seconds"

/** A partition that is read from its end to its beginning. */
interface Backwards extends Partition {
  readonly first: number
  /** The offset before which it has not been read yet. */
  before: number
  /** What was read and not looked at yet, in the order of the offsets. */
  readonly loaded: Array<Received>
}

/**
 * Looks at the records of topics from the newest to the oldest, over all partitions, and returns those that match. The
 * partitions are merged by the time at which the log appended their records.
 */
export const scan = (
  bus: Pick<EventBus["Service"], "ends" | "read">,
  options: {
    readonly topics: ReadonlyArray<string>
    readonly matches: (record: Received) => boolean
    /** Records appended before this (Unix ms) are not wanted. */
    readonly since?: number | undefined
    /** Undefined: from the end of the log. */
    readonly from?: ScanPosition | undefined
    readonly bounds: Bounds
  },
): Effect.Effect<Scan, EventBusError> =>
  Effect.gen(function* () {
    const { topics, matches, since = -Infinity, from, bounds } = options
    const began = performance.now()
    const partitions = backwardsFrom(yield* bus.ends(topics), from)
    const records: Array<Received> = []
    let scanned = 0
    let last: Received | undefined
    const isDone = () =>
      records.length >= bounds.limit || scanned >= bounds.scanned || performance.now() - began > bounds.millis
    // A scan always gets on, however little time it has.
    do {
      yield* load(bus, partitions, Math.min(perRead, scanned === 0 ? bounds.limit : perRead))
      for (let newest = newestOf(partitions); newest !== undefined; newest = newestOf(partitions)) {
        const record = newest.loaded.pop()!
        if (record.time < since) return { records, next: undefined, scannedTo: undefined }
        last = record
        scanned++
        if (matches(record)) records.push(record)
        if (isDone() || newest.loaded.length === 0) break
      }
    } while (partitions.some(hasMore) && !isDone())
    return partitions.some(hasMore)
      ? { records, next: positionOf(partitions), scannedTo: last?.time }
      : { records, next: undefined, scannedTo: undefined }
  })

const backwardsFrom = (
  ends: Effect.Success<ReturnType<EventBus["Service"]["ends"]>>,
  from: ScanPosition | undefined,
): ReadonlyArray<Backwards> =>
  ends.map(({ topic, partition, first, next }) => ({
    topic,
    partition,
    first,
    // A partition that the position does not have was read to its beginning.
    before: from === undefined ? next : Math.min(next, from[partitionName({ topic, partition })] ?? 0),
    loaded: [],
  }))

const hasMore = ({ first, before, loaded }: Backwards) => loaded.length > 0 || before > first

const positionOf = (partitions: ReadonlyArray<Backwards>): ScanPosition =>
  Object.fromEntries(
    partitions
      .filter(hasMore)
      .map((partition) => [partitionName(partition), (partition.loaded.at(-1)?.offset ?? partition.before - 1) + 1]),
  )

/** The partition whose next record is the newest; undefined when there is no record. */
const newestOf = (partitions: ReadonlyArray<Backwards>): Backwards | undefined => {
  let newest: Backwards | undefined
  for (const partition of partitions) {
    const time = partition.loaded.at(-1)?.time
    if (time !== undefined && (newest === undefined || time > newest.loaded.at(-1)!.time)) newest = partition
  }
  return newest
}

/** Reads before what has been read, in each partition of which nothing is left, so that they can be merged. */
const load = (bus: Pick<EventBus["Service"], "read">, partitions: ReadonlyArray<Backwards>, count: number) =>
  Effect.forEach(
    partitions.filter(({ loaded, before, first }) => loaded.length === 0 && before > first),
    (partition) => loadOne(bus, partition, count),
    { concurrency: 8, discard: true },
  )

const loadOne = (bus: Pick<EventBus["Service"], "read">, partition: Backwards, count: number) =>
  Effect.gen(function* () {
    // Offsets have holes: where a read finds no record, what is before it is read.
    while (partition.loaded.length === 0 && partition.before > partition.first) {
      const begin = Math.max(partition.first, partition.before - count)
      for (let next = begin; next < partition.before;) {
        const found = yield* bus.read({
          topic: partition.topic,
          partition: partition.partition,
          from: { offset: next },
          max: partition.before - next,
          within: readWithin,
        })
        partition.loaded.push(...found.records.filter(({ offset }) => offset < partition.before))
        // Nothing is left when it was pruned, or deleted, meanwhile.
        if (found.next <= next) break
        next = found.next
      }
      partition.before = begin
    }
  })
