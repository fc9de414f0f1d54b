/** A class that kafkajs 2.2.4 does not export: it removes records of aborted transactions, and markers of transactions. */
declare module "kafkajs/src/consumer/batch.js" {
  import type { KafkaMessage } from "kafkajs"

  /** What a broker returns of one partition. */
  export interface Fetched {
    readonly partition: number
    readonly highWatermark: string
    readonly messages: ReadonlyArray<KafkaMessage>
  }

  export default class Batch {
    constructor(topic: string, fetchedOffset: string, fetched: Fetched)
    /** Those that a consumer gets. */
    readonly messages: ReadonlyArray<KafkaMessage>
    /** All that the broker returned. */
    readonly rawMessages: ReadonlyArray<KafkaMessage>
    readonly lastOffset: () => string
  }
}
