import { Duration, Effect, RcRef } from "effect"
import type { Kafka } from "kafkajs"
import Batch from "kafkajs/src/consumer/batch.js"
import {
  type EventBus,
  type ReadResult,
  type Partition,
  partitionName,
  type ReadRequest,
  type Received,
} from "../EventBus.ts"
import { renewable, typeOf } from "./client.ts"
import { type Broker, type Cluster, clusterOf, readCommitted } from "./cluster.ts"
import { receivedOf } from "./records.ts"

/** A client that is not used for this long is closed. */
const idleAfter = "60 seconds"

/** Bytes of one fetch. A record that is larger is returned all the same, alone. */
const perFetch = 1_048_576

/** Reads partitions outside of any group, by a client of its own that is made on first use. */
export const makeReader = (kafka: () => Kafka) =>
  Effect.gen(function* () {
    const client = yield* RcRef.make({
      acquire: renewable(() => clusterOf(kafka())),
      idleTimeToLive: idleAfter,
    })
    const read: EventBus["Service"]["read"] = (reading) =>
      Effect.flatMap(RcRef.get(client), ({ use }) =>
        use("read records", reading.within, (cluster) => readFrom(cluster, reading)),
      ).pipe(Effect.scoped)
    return read
  })

/** Fetches until it has enough. It begins no fetch in the second half of its time, which is for the last one. */
const readFrom = async (cluster: Cluster, reading: ReadRequest): Promise<ReadResult> => {
  const lastStart = performance.now() + Duration.toMillis(reading.within) / 2
  const leader = await leaderOf(cluster, reading)
  const records: Array<Received> = []
  let next = await startOf(cluster, reading)
  let end = next
  do {
    const fetched = await fetchAt(cluster, leader, reading, next)
    records.push(...fetched.records)
    end = fetched.end
    if (fetched.next === next) break
    next = fetched.next
  } while (next < end && records.length < reading.max && performance.now() < lastStart)
  if (records.length > reading.max) next = records[reading.max]!.offset
  return { records: records.slice(0, reading.max), next, end }
}

/** The broker that leads a partition. Where brokers lead what is read again when it is too old. */
const leaderOf = async (cluster: Cluster, { topic, partition }: Partition): Promise<Broker> => {
  await cluster.addTargetTopic(topic)
  await cluster.refreshMetadataIfNecessary()
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  if (nodeId === undefined) throw new Error(`there is no partition ${partitionName({ topic, partition })}`)
  return cluster.findBroker({ nodeId })
}

const startOf = async (cluster: Cluster, { topic, partition, from }: ReadRequest): Promise<number> => {
  if ("offset" in from) return from.offset
  const since = await offsetIn(cluster, { topic, partition }, { fromTimestamp: from.time })
  return since === -1 ? offsetIn(cluster, { topic, partition }, { fromBeginning: false }) : since
}

/** The first offset since a time (-1: none), or the oldest one, or the end. */
const offsetIn = async (
  cluster: Cluster,
  { topic, partition }: Partition,
  which: { readonly fromTimestamp: number } | { readonly fromBeginning: boolean },
): Promise<number> => {
  const [found] = await cluster.fetchTopicsOffset([{ topic, partitions: [{ partition }], ...which }])
  return Number(found!.partitions[0]!.offset)
}

/** One fetch. An offset that is no longer, or not yet, in the partition is replaced by its beginning or end. */
const fetchAt = async (cluster: Cluster, leader: Broker, at: Partition, offset: number): Promise<ReadResult> => {
  try {
    return await fetchOnce(leader, at, offset)
  } catch (error) {
    if (typeOf(error) !== "OFFSET_OUT_OF_RANGE") throw error
    const first = await offsetIn(cluster, at, { fromBeginning: true })
    if (offset < first) return fetchOnce(leader, at, first)
    const end = await offsetIn(cluster, at, { fromBeginning: false })
    return { records: [], next: end, end }
  }
}

const fetchOnce = async (leader: Broker, { topic, partition }: Partition, offset: number): Promise<ReadResult> => {
  const fetchOffset = String(offset)
  const { responses } = await leader.fetch({
    isolationLevel: readCommitted,
    // What is asked for is there, or is not waited for.
    maxWaitTime: 1,
    maxBytes: perFetch,
    topics: [{ topic, partitions: [{ partition, fetchOffset, maxBytes: perFetch }] }],
  })
  const fetched = responses[0]!.partitions[0]!
  const batch = new Batch(topic, fetchOffset, fetched)
  return {
    records: batch.messages.map((message) => receivedOf(topic, partition, message)),
    next: batch.rawMessages.length === 0 ? offset : Number(batch.lastOffset()) + 1,
    end: Number(fetched.highWatermark),
  }
}
