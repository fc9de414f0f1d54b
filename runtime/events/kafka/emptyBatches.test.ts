import { createRequire } from "node:module"
import { describe, expect, it } from "vitest"
import { withoutEmptyBatches } from "./emptyBatches.ts"

interface ConsumerGroup {
  fetch(nodeId: string): Promise<ReadonlyArray<{ readonly partition: number }>>
}

/** kafkajs' consumer of a group that has three partitions of a topic, and the answer of a broker to its fetch. */
const groupThatFetches = (messages: ReadonlyArray<ReadonlyArray<object>>) => {
  const { prototype } = createRequire(import.meta.url)("kafkajs/src/consumer/consumerGroup") as { prototype: object }
  const partitions = messages.map((_, partition) => partition)
  const responses = [
    {
      topicName: "t",
      partitions: messages.map((messages, partition) => ({ partition, highWatermark: "9", messages })),
    },
  ]
  return Object.assign(Object.create(prototype) as ConsumerGroup, {
    cluster: {
      refreshMetadataIfNecessary: async () => {},
      findBroker: async () => ({ fetch: async () => ({ responses }) }),
    },
    subscriptionState: {
      assigned: () => [{ topic: "t", partitions }],
      active: () => [{ topic: "t", partitions }],
      isPaused: () => false,
    },
    offsetManager: {
      committedOffsets: () => ({ t: partitions.map(() => "0") }),
      nextOffset: () => "5",
      resolveOffsets: async () => {},
    },
    seekOffset: { pop: () => undefined, has: () => false },
    checkForStaleAssignment: () => {},
    filterPartitionsByNode: (_node: string, all: unknown) => all,
    preferredReadReplicasPerTopicPartition: {},
  })
}

describe("A fetch from Kafka", () => {
  it("leaves out partitions without a record, and no others", async () => {
    withoutEmptyBatches()
    const marker = { offset: "6", isControlRecord: true }
    const old = { offset: "4" }
    const batches = await groupThatFetches([[], [{ offset: "5" }], [], [marker], [old]]).fetch("1")
    expect(batches.map(({ partition }) => partition)).toEqual([1, 3, 4])
    expect(await groupThatFetches([[], []]).fetch("1")).toEqual([])
  })
})
