import { Effect } from "effect"
import { decode, type Envelope } from "../../events/cloudEvents.ts"
import { EventBus, type Partition, type Received } from "../../events/EventBus.ts"
import { partitionOf } from "../../events/partition.ts"

/** Partitions of each topic: the events of users in different ones are read in any order. */
export const partitions = 2

/** An event log in memory. Its consumers are the simulated processes, which read by `read`. */
export const makeLog = (now: () => number) => {
  const records = new Map<string, ReadonlyArray<Array<Received>>>()

  const topic = (name: string) => {
    const known = records.get(name) ?? Array.from({ length: partitions }, () => [])
    records.set(name, known)
    return known
  }

  const bus = EventBus.of({
    ensure: () => Effect.void,
    send: (outgoing) =>
      Effect.sync(() => {
        for (const record of outgoing) {
          const partition = partitionOf(record.key ?? "", partitions)
          const into = topic(record.topic)[partition]!
          into.push({ ...record, partition, offset: into.length, time: now() })
        }
      }),
    consume: () => Effect.void,
    lag: () => Effect.succeed([]),
    ends: (topics) =>
      Effect.sync(() =>
        topics.flatMap((name) =>
          topic(name).map(({ length: next }, partition) => ({ topic: name, partition, first: 0, next })),
        ),
      ),
    since: () => Effect.succeed([]),
    read: ({ topic: name, partition, from, max }) =>
      Effect.sync(() => {
        const all = topic(name)[partition]!
        const start = "offset" in from ? from.offset : all.filter(({ time }) => time < from.time).length
        const found = all.slice(start, start + max)
        return { records: found, next: start + found.length, end: all.length }
      }),
    retentions: () => Effect.succeed([]),
    identity: Effect.succeed("simulated"),
    probe: Effect.void,
  })

  return {
    bus,
    read: ({ topic: name, partition }: Partition): ReadonlyArray<Received> => topic(name)[partition]!,
    /** The events of a topic, each once, with the time (ms) at which the log took it first. */
    events: (name: string) => {
      const first = new Map<string, Envelope & { readonly loggedAt: number }>()
      for (const record of topic(name).flat()) {
        const decoded = decode(record)
        if (decoded._tag !== "Event" || first.has(decoded.envelope.id)) continue
        first.set(decoded.envelope.id, { ...decoded.envelope, loggedAt: record.time })
      }
      return [...first.values()]
    },
    clear: () => records.clear(),
  }
}

export type Log = ReturnType<typeof makeLog>
