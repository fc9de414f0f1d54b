import { changeOnce } from "./internals.ts"

/** What is used here of a partition's part of a fetch. */
interface FetchedBatch {
  /** All records, those that are for no consumer too, as transaction markers. */
  readonly rawMessages: ReadonlyArray<unknown>
}

interface ConsumerGroup {
  fetch: (this: ConsumerGroup, nodeId: string) => Promise<ReadonlyArray<FetchedBatch>>
}

/**
 * Leaves out the partitions without a record of a fetch. kafkajs 2.2.4 passes each of them through its queue of workers, where
 * it is a heartbeat and nothing else. A member mostly has many partitions and a fetch records of few. When there is none at
 * all kafkajs sends the heartbeat itself. Changes kafkajs once for the process.
 */
export const withoutEmptyBatches = (): void =>
  changeOnce<{ readonly prototype: ConsumerGroup }>("kafkajs/src/consumer/consumerGroup", ({ prototype }) => {
    const { fetch } = prototype
    prototype.fetch = async function (nodeId) {
      return (await fetch.call(this, nodeId)).filter(({ rawMessages }) => rawMessages.length > 0)
    }
  })
