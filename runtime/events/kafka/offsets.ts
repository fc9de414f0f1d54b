import type { Admin } from "kafkajs"
import type { End, Lag, Partition, Position } from "../EventBus.ts"
import { existing } from "./topics.ts"

/** The lag of a group in each partition of the topics. A group that has committed nothing begins at the oldest record. */
export const lagIn = async (
  client: Admin,
  group: string,
  topics: ReadonlyArray<string>,
): Promise<ReadonlyArray<Lag>> => {
  const committed = await client.fetchOffsets({ groupId: group, topics: [...topics] })
  const lags = await Promise.all(
    committed.map(async ({ topic, partitions }) => {
      const kept = await client.fetchTopicOffsets(topic)
      return kept.map(({ partition, low, high }) => {
        const offset = Number(partitions.find((one) => one.partition === partition)?.offset ?? -1)
        return { topic, partition, records: Number(high) - Math.max(offset, Number(low)) }
      })
    }),
  )
  return lags.flat()
}

/** Where each partition of those of the topics that exist begins and ends. */
export const endsIn = async (client: Admin, topics: ReadonlyArray<string>): Promise<ReadonlyArray<End>> => {
  const found = await Promise.all(
    (await existing(client, topics)).map(async (topic) =>
      (await client.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({
        topic,
        partition,
        first: Number(low),
        next: Number(high),
      })),
    ),
  )
  return found.flat().toSorted(byPartition)
}

/** In each partition the first offset whose record was appended at `time` (ms) or later. */
export const sinceIn = async (client: Admin, topic: string, time: number): Promise<ReadonlyArray<Position>> =>
  (await client.fetchTopicOffsetsByTimestamp(topic, time))
    .map(({ partition, offset }) => ({ topic, partition, next: Number(offset) }))
    .toSorted(byPartition)

const byPartition = (a: Partition, b: Partition) =>
  a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition
