import type { Kafka } from "kafkajs"
import type { Fetched } from "kafkajs/src/consumer/batch.js"

/**
 * What kafkajs 2.2.4 has inside of its clients and does not export: requests to single brokers, without a consumer group
 * ([decision 13](../../decisions/0013-read-kafka-without-a-group.md)).
 */
export interface Cluster {
  readonly connect: () => Promise<void>
  readonly disconnect: () => Promise<void>
  /** Reads where the topic's partitions are. Rejects when it does not exist. */
  readonly addTargetTopic: (topic: string) => Promise<void>
  readonly refreshMetadataIfNecessary: () => Promise<void>
  /** By the id of a broker: those of the partitions that it leads. A partition that does not exist is left out. */
  readonly findLeaderForPartitions: (
    topic: string,
    partitions: ReadonlyArray<number>,
  ) => Readonly<Record<string, ReadonlyArray<number>>>
  readonly findBroker: (options: { readonly nodeId: string }) => Promise<Broker>
  readonly fetchTopicsOffset: (
    topics: ReadonlyArray<{
      readonly topic: string
      readonly partitions: ReadonlyArray<{ readonly partition: number }>
      readonly fromBeginning?: boolean
      readonly fromTimestamp?: number
    }>,
  ) => Promise<ReadonlyArray<{ readonly partitions: ReadonlyArray<{ readonly offset: string }> }>>
}

export interface Broker {
  readonly fetch: (request: {
    readonly isolationLevel: number
    /** Milliseconds that the broker waits for records where it has none. */
    readonly maxWaitTime: number
    readonly maxBytes: number
    readonly topics: ReadonlyArray<{
      readonly topic: string
      readonly partitions: ReadonlyArray<{
        readonly partition: number
        readonly fetchOffset: string
        readonly maxBytes: number
      }>
    }>
  }) => Promise<{
    readonly responses: ReadonlyArray<{ readonly partitions: ReadonlyArray<Fetched> }>
  }>
}

/** Only records of committed transactions, and those without one. */
export const readCommitted = 1

const privateName = "private:Kafka:createCluster"

/** Makes a `Cluster` with the settings of a client. */
export const clusterOf = (kafka: Kafka): Cluster => {
  const create = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === privateName)
  if (create === undefined) throw new Error(`kafkajs has no ${privateName} any more`)
  const clients = kafka as unknown as Readonly<Record<symbol, (options: object) => Cluster>>
  return clients[create]!({ allowAutoTopicCreation: false, metadataMaxAge: 10_000, isolationLevel: readCommitted })
}
