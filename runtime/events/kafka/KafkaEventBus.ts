import { Effect, Layer } from "effect"
import kafkajs, { type Admin, type Kafka, type Producer } from "kafkajs"
import { Loops } from "../../loop/loop.ts"
import { MessagingSystem } from "../../telemetry/messages.ts"
import { EventBus } from "../EventBus.ts"
import { makeKafka, renewable } from "./client.ts"
import type { KafkaSettings } from "./settings.ts"
import { installCodecs } from "./codecs.ts"
import { withoutEmptyBatches } from "./emptyBatches.ts"
import { withSmallEncoders } from "./encoder.ts"
import { readAsMember } from "./member.ts"
import { endsIn, lagIn, sinceIn } from "./offsets.ts"
import { makeReader } from "./reader.ts"
import { withoutIdleTimers } from "./requestQueue.ts"
import { makeSender } from "./sender.ts"
import { makeTopics, retentionsIn } from "./topics.ts"

/** Time-out of a query. */
const askedWithin = "3 seconds"

/** The event log on Apache Kafka, by kafkajs. */
export const make = (kafka: () => Kafka) =>
  Effect.gen(function* () {
    installCodecs()
    withoutIdleTimers()
    withSmallEncoders()
    withoutEmptyBatches()
    const loops = yield* Loops
    const admin = yield* renewable<Admin>(() => kafka().admin())
    // Not idempotent: after a failure, an idempotent producer that is kept loses what it acknowledges next. Copies are
    // harmless: the inbox drops them.
    const producer = yield* renewable<Producer>(() =>
      kafka().producer({
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        metadataMaxAge: 10_000,
        createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      }),
    )
    const topics = makeTopics(admin)
    const read = yield* makeReader(kafka)
    const sender = makeSender(producer, topics)
    /** The topics that each group reads here. */
    const readBy = new Map<string, Set<string>>()

    const ends: EventBus["Service"]["ends"] = (names) =>
      admin.use("read the ends of topics", askedWithin, (client) => endsIn(client, names))

    const consume: EventBus["Service"]["consume"] = (options) =>
      Effect.suspend(() => {
        const { group, topics: names } = options
        readBy.set(group, new Set([...(readBy.get(group) ?? []), ...names]))
        return readAsMember({ kafka, ...options, prepare: topics.restore, ends })
      }).pipe(Effect.provideService(Loops, loops))

    return EventBus.of({
      ensure: topics.ensure,
      send: sender.send,
      consume,
      ends,
      lag: (group) =>
        admin.use("read the lag", askedWithin, (client) => lagIn(client, group, [...(readBy.get(group) ?? [])])),
      since: (topic, time) => admin.use("find offsets by time", askedWithin, (client) => sinceIn(client, topic, time)),
      read,
      retentions: (names) => admin.use("read retentions", askedWithin, (client) => retentionsIn(client, names)),
      identity: admin.use("read the identity of the log", askedWithin, async (client) => {
        const { clusterId } = await client.describeCluster()
        return `kafka:${clusterId}`
      }),
      probe: Effect.andThen(
        admin.use("respond", "2 seconds", (client) => client.describeCluster()),
        sender.healthy,
      ),
    })
  })

export const layer = (settings: KafkaSettings): Layer.Layer<EventBus, never, Loops> =>
  Layer.mergeAll(
    Layer.effect(EventBus, Effect.flatMap(makeKafka(settings), make)),
    Layer.succeed(MessagingSystem, "kafka"),
  )
