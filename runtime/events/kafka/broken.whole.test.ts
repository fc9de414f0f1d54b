import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import kafkajs, {
  type Consumer,
  type ConsumerConfig,
  type EachBatchPayload,
  type Kafka,
  type ProducerBatch,
} from "kafkajs"
import { realKafka } from "../../test/harness/kafka.ts"
import { run } from "../suite/EventBusSuite.ts"
import { type Change, onKafka } from "../suite/onKafka.ts"
import { type Broken, isRed, redsOf } from "../suite/red.ts"

/** A driver that uses Kafka wrongly. */
interface Misused extends Broken {
  readonly change: Change
}

const changed = (kafka: Kafka, parts: Partial<Kafka>): Kafka => Object.assign(Object.create(kafka) as Kafka, parts)

const consumerBy =
  (change: (consumer: Consumer) => Partial<Consumer>, settings: Partial<ConsumerConfig> = {}): Change =>
  (kafka) =>
    changed(kafka, {
      consumer: (config) => {
        const consumer = kafka.consumer({ ...config, ...settings })
        return { ...consumer, ...change(consumer) }
      },
    })

/** Hands each batch on as another. */
const batches = (change: (payload: EachBatchPayload, consumer: Consumer) => Promise<EachBatchPayload>): Change =>
  consumerBy((consumer) => ({
    run: (config) =>
      consumer.run({ ...config, eachBatch: async (payload) => config!.eachBatch!(await change(payload, consumer)) }),
  }))

const sending =
  (change: (batch: ProducerBatch) => ProducerBatch): Change =>
  (kafka) =>
    changed(kafka, {
      producer: (config) => {
        const producer = kafka.producer(config)
        return { ...producer, sendBatch: (batch) => producer.sendBatch(change(batch)) }
      },
    })

const unread = "not seen in time: the group has handled all"

const brokenDrivers: ReadonlyArray<Misused> = [
  {
    driver: "commits what it has fetched",
    change: batches(async (payload) => {
      const { topic, partition } = payload.batch
      const offset = String(Number(payload.batch.lastOffset()) + 1)
      await payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset }] }] })
      return payload
    }),
    red: { "brings again what was handled when its member went away before the commit": "all once more" },
  },
  {
    driver: "commits by the consumer, which is silent once that stops",
    change: batches(async (payload, consumer) => ({
      ...payload,
      commitOffsetsIfNecessary: async (offsets) => {
        for (const { topic, partitions } of offsets!.topics) {
          await consumer.commitOffsets(partitions.map((partition) => ({ topic, ...partition })))
        }
      },
    })),
    red: { "waits for the running handle when its scope closes, and commits what that finished": "the position" },
  },
  {
    driver: "lets no heart beat while it handles",
    change: batches(async (payload) => ({ ...payload, heartbeat: async () => {} })),
    red: { "leaves its partitions to a member whose handle takes longer than it may be silent": unread },
    patience: "15 seconds",
  },
  {
    driver: "shares the partitions by the client's own assigner",
    change: consumerBy(() => ({}), { partitionAssigners: [kafkajs.PartitionAssigners.roundRobin] }),
    red: { "brings each of a group's topics, also where its members read different ones": unread },
    patience: "10 seconds",
  },
  {
    driver: "starts a group at the newest record",
    change: consumerBy((consumer) => ({
      subscribe: (subscription) => consumer.subscribe({ ...subscription, fromBeginning: false }),
    })),
    red: {
      "starts a new group at the oldest record": unread,
      "goes on with a group that was away for longer than records are kept": unread,
    },
    patience: "10 seconds",
  },
  {
    driver: "chooses partitions as the client did once",
    change: (kafka) =>
      changed(kafka, {
        producer: (config) => kafka.producer({ ...config, createPartitioner: kafkajs.Partitioners.LegacyPartitioner }),
      }),
    red: { "puts a key into the same partition each time, the one that Java's client would choose": "of each key" },
  },
  {
    driver: "remembers the offsets of a topic",
    change: (kafka) =>
      changed(kafka, {
        admin: (config) => {
          const admin = kafka.admin(config)
          const known = new Map<string, ReturnType<typeof admin.fetchTopicOffsets>>()
          const fetchTopicOffsets = (topic: string) => {
            const offsets = known.get(topic) ?? admin.fetchTopicOffsets(topic)
            known.set(topic, offsets)
            return offsets
          }
          return { ...admin, fetchTopicOffsets }
        },
      }),
    red: { "returns the ends of topics: behind every record whose send had succeeded": "the ends" },
  },
  {
    driver: "turns the records of a send round",
    change: sending((batch) => ({
      ...batch,
      topicMessages: batch.topicMessages!.map(({ topic, messages }) => ({ topic, messages: messages.toReversed() })),
    })),
    red: { "keeps the order of each key": "the order of each key" },
  },
]

const servers = await realKafka()
if (servers !== undefined) {
  describe.concurrent("EventBusSuite (kafka)", () => {
    for (const { check, by } of redsOf(brokenDrivers)) {
      describe(check.name, () => {
        for (const broken of by) {
          const checked = Effect.provide(run(check, broken), onKafka(servers.split(","), broken.change))
          it.live(`is red for a driver that ${broken.driver}`, () => isRed(check, broken, checked))
        }
      })
    }
  })
}
