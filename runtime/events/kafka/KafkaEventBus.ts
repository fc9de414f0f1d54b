import { Duration, Effect, Exit, Layer, Schedule } from "effect"
import kafkajs, { type Admin, type Kafka, type Message, type Producer } from "kafkajs"
import { MessagingSystem } from "../../telemetry/messages.ts"
import { Loops } from "../../loop/loop.ts"
import { monotonicMillis } from "../../loop/monotonic.ts"
import {
  defaultPartitions,
  EventBus,
  EventBusError,
  type Lag,
  type Outgoing,
  type Partition,
  PartitionsDiffer,
  type Retention,
  type Topic,
} from "../EventBus.ts"
import { type KafkaSettings, makeKafka, renewable, typeOf } from "./client.ts"
import { installCodecs } from "./codecs.ts"
import { readAsMember } from "./member.ts"

/** Bytes of keys, values and headers in one request: below what a broker takes in one batch (1 MB). */
const mostBytes = 900_000

/** Whoever still has something to send tries again within this (`backOff`). */
const triedAgainWithin = 15_000

/** A request for what a person waits for. */
const askedWithin = "3 seconds"

/**
 * The event log on Apache Kafka, by kafkajs. What it has to do for each promise of the port, and for each fault of
 * Kafka or kafkajs, is said where it does it; what it leaves to others: copies are the inbox's to know.
 */
export const make = (kafka: () => Kafka) =>
  Effect.gen(function* () {
    installCodecs()
    const loops = yield* Loops
    const admin = yield* renewable<Admin>(() => kafka().admin())
    // Not idempotent: kept after a failure, that one loses what it acknowledges next; and copies are harmless.
    const producer = yield* renewable<Producer>(() =>
      kafka().producer({
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        metadataMaxAge: 10_000,
        createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      }),
    )
    const ensured = new Map<string, Topic>()
    const read = new Map<string, Set<string>>()
    /** By topic, why the last send to it failed, and when. */
    const unsent = new Map<string, { readonly error: EventBusError; readonly at: number }>()
    let sending = 0

    const partitionsOf = (names: ReadonlyArray<string>) =>
      admin.use("look at topics", "20 seconds", async (client) => {
        const { topics } = await client.fetchTopicMetadata({ topics: await existing(client, names) })
        return new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
      })

    const create = (topics: ReadonlyArray<Topic>) =>
      admin.use("make topics", "30 seconds", (client) =>
        client.createTopics({
          waitForLeaders: false,
          topics: topics.map(({ name, partitions, retention }) => ({
            topic: name,
            numPartitions: partitions ?? defaultPartitions,
            replicationFactor: -1,
            configEntries: [
              { name: "retention.ms", value: String(retention === undefined ? -1 : Duration.toMillis(retention)) },
              // A record's time is when the bus took it.
              { name: "message.timestamp.type", value: "LogAppendTime" },
            ],
          })),
        }),
      )

    /** Leaders are known a little before they lead: a send in between would be repeated, and leave copies. */
    const led = (topics: ReadonlyArray<Topic>) =>
      admin
        .use("make topics", "30 seconds", (client) =>
          Promise.all(topics.map(({ name }) => client.fetchTopicOffsets(name))),
        )
        .pipe(Effect.retry({ times: 20, schedule: Schedule.spaced("100 millis") }))

    /** Makes those that are missing, and says how many partitions each has. */
    const complete = (topics: ReadonlyArray<Topic>) =>
      Effect.gen(function* () {
        const found = yield* partitionsOf(topics.map(({ name }) => name))
        const missing = topics.filter(({ name }) => !found.has(name))
        if (missing.length === 0) return found
        // It may fail for a topic that is made all the same, and what is made shows a little later: what counts is what
        // is there afterwards.
        const made = yield* Effect.exit(create(missing))
        const afterwards = yield* Effect.repeat(partitionsOf(topics.map(({ name }) => name)), {
          until: (found) => Exit.isFailure(made) || topics.every(({ name }) => found.has(name)),
          schedule: Schedule.max([Schedule.spaced("100 millis"), Schedule.recurs(100)]),
        })
        if (topics.some(({ name }) => !afterwards.has(name))) {
          yield* made
          return yield* new EventBusError({ operation: "make topics", cause: new Error("they are not there yet") })
        }
        yield* led(missing)
        return afterwards
      })

    const refuseOthers = (topics: ReadonlyArray<Topic>, found: ReadonlyMap<string, number>) => {
      const other = topics.find(({ name, partitions }) => {
        const count = found.get(name)
        return partitions !== undefined && count !== undefined && count !== partitions
      })
      return other === undefined
        ? Effect.void
        : new PartitionsDiffer({ topic: other.name, wanted: other.partitions!, found: found.get(other.name)! })
    }

    const ensure: EventBus["Service"]["ensure"] = (topics) =>
      Effect.gen(function* () {
        for (const topic of topics) ensured.set(topic.name, topic)
        if (topics.length === 0) return
        const before = yield* partitionsOf(topics.map(({ name }) => name))
        yield* refuseOthers(topics, before)
        yield* refuseOthers(topics, yield* complete(topics))
      })

    /** Somebody may have deleted topics that we made. */
    const heal = Effect.suspend(() => Effect.asVoid(complete([...ensured.values()])))

    const sendPart = (records: ReadonlyArray<Outgoing>): Effect.Effect<void, EventBusError> =>
      producer
        .use("send", "30 seconds", (client) =>
          client.sendBatch({
            acks: -1,
            timeout: 5_000,
            topicMessages: [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, records]) => ({
              topic,
              messages: records.map(messageOf),
            })),
          }),
        )
        .pipe(
          Effect.asVoid,
          Effect.catch((error) => {
            if (typeOf(error.cause) === "MESSAGE_TOO_LARGE" && records.length > 1) {
              const middle = records.length >> 1
              return Effect.andThen(sendPart(records.slice(0, middle)), sendPart(records.slice(middle)))
            }
            const isGone = typeOf(error.cause) === "UNKNOWN_TOPIC_OR_PARTITION"
            const mended = isGone && records.some(({ topic }) => ensured.has(topic)) ? Effect.ignore(heal) : Effect.void
            return Effect.andThen(mended, Effect.fail(error))
          }),
        )

    const send: EventBus["Service"]["send"] = (records) =>
      Effect.acquireUseRelease(
        Effect.sync(() => sending++),
        () => Effect.forEach(parts(records), sendPart, { discard: true }),
        () => Effect.sync(() => sending--),
      ).pipe(
        Effect.tap(() => Effect.sync(() => topicsOf(records).forEach((topic) => unsent.delete(topic)))),
        Effect.tapError((error) =>
          Effect.map(monotonicMillis, (at) => topicsOf(records).forEach((topic) => unsent.set(topic, { error, at }))),
        ),
      )

    const consume: EventBus["Service"]["consume"] = (options) =>
      Effect.suspend(() => {
        const { group, topics } = options
        read.set(group, new Set([...(read.get(group) ?? []), ...topics]))
        return readAsMember({ kafka, ...options, prepare: heal, ends })
      }).pipe(Effect.provideService(Loops, loops))

    /** Where a group goes on in each partition, and what there is. */
    const positions = (group: string, topics: ReadonlyArray<string>) =>
      admin.use("tell the lag", askedWithin, async (client) => {
        const committed = await client.fetchOffsets({ groupId: group, topics: [...topics] })
        return Promise.all(
          committed.map(async ({ topic, partitions }) => {
            const kept = await client.fetchTopicOffsets(topic)
            return kept.map(({ partition, low, high }) => {
              const offset = Number(partitions.find((one) => one.partition === partition)?.offset ?? -1)
              return { topic, partition, records: Number(high) - Math.max(offset, Number(low)) }
            })
          }),
        )
      })

    const lag: EventBus["Service"]["lag"] = (group) =>
      Effect.map(positions(group, [...(read.get(group) ?? [])]), (lags): ReadonlyArray<Lag> => lags.flat())

    const ends: EventBus["Service"]["ends"] = (topics) =>
      admin.use("tell where topics end", askedWithin, async (client) => {
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
      })

    const since: EventBus["Service"]["since"] = (topic, time) =>
      admin.use("look for a time", askedWithin, async (client) =>
        (await client.fetchTopicOffsetsByTimestamp(topic, time))
          .map(({ partition, offset }) => ({
            topic,
            partition,
            next: Number(offset),
          }))
          .toSorted(byPartition),
      )

    const retentions: EventBus["Service"]["retentions"] = (topics) =>
      admin.use("read retentions", askedWithin, async (client) => {
        const wanted = await existing(client, topics)
        if (wanted.length === 0) return []
        const { resources } = await client.describeConfigs({
          includeSynonyms: false,
          resources: wanted.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name, configNames })),
        })
        return resources.map(({ resourceName, configEntries }) =>
          retentionOf(
            resourceName,
            new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
          ),
        )
      })

    const identity = admin.use("read the name of the log", askedWithin, async (client) => {
      const { clusterId } = await client.describeCluster()
      return `kafka:${clusterId}`
    })

    const probe = Effect.gen(function* () {
      yield* admin.use("answer", "2 seconds", (client) => client.describeCluster())
      // A process that has left the sending to another one does not learn how it went on.
      const now = yield* monotonicMillis
      for (const { error, at } of unsent.values()) {
        if (sending > 0 || now - at < triedAgainWithin) return yield* error
      }
    })

    return EventBus.of({ ensure, send, consume, lag, ends, since, retentions, identity, probe })
  })

export const layer = (settings: KafkaSettings): Layer.Layer<EventBus, never, Loops> =>
  Layer.mergeAll(
    Layer.effect(EventBus, Effect.flatMap(makeKafka(settings), make)),
    Layer.succeed(MessagingSystem, "kafka"),
  )

const byPartition = (a: Partition, b: Partition) =>
  a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition

/** Those of the topics that exist: Kafka fails a request that names another one. */
const existing = async (client: Admin, topics: ReadonlyArray<string>): Promise<Array<string>> => {
  const found = new Set(await client.listTopics())
  return topics.filter((topic) => found.has(topic))
}

const configNames = ["cleanup.policy", "retention.ms", "retention.bytes"]

/** What a topic's configuration means for its records. */
const retentionOf = (topic: string, config: ReadonlyMap<string, string>): Retention => {
  const policy = config.get("cleanup.policy") ?? "delete"
  const millis = policy.includes("delete") ? Number(config.get("retention.ms") ?? -1) : -1
  const bytes = policy.includes("delete") ? Number(config.get("retention.bytes") ?? -1) : -1
  return {
    topic,
    retention: millis < 0 ? undefined : Duration.millis(millis),
    sooner: policy.includes("compact")
      ? `cleanup.policy=${policy}`
      : bytes >= 0
        ? `retention.bytes=${bytes}`
        : undefined,
  }
}

const topicsOf = (records: ReadonlyArray<Outgoing>) => new Set(records.map(({ topic }) => topic))

const messageOf = ({ key, value, headers }: Outgoing): Message => ({
  key,
  value: value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  headers,
})

/** The records in as few requests as their size allows, in their order. */
const parts = (records: ReadonlyArray<Outgoing>): ReadonlyArray<ReadonlyArray<Outgoing>> => {
  const all: Array<Array<Outgoing>> = []
  let bytes = Infinity
  for (const record of records) {
    const size = sizeOf(record)
    if (bytes + size > mostBytes) {
      all.push([])
      bytes = 0
    }
    all.at(-1)!.push(record)
    bytes += size
  }
  return all
}

/** About as many bytes: what turns out too large is sent in halves. */
const sizeOf = ({ key, value, headers }: Outgoing): number =>
  (key?.length ?? 0) +
  (value?.byteLength ?? 0) +
  Object.entries(headers).reduce((sum, [name, text]) => sum + name.length + text.length, 100)
