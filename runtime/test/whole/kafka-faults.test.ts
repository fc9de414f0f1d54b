import { expect, layer } from "@effect/vitest"
import { Clock, Effect, Layer, References, Schedule } from "effect"
import { randomBytes } from "node:crypto"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { byKey, firstsOf, kafkaAt, newGroup, newTopic, numbered, send, textsOf, until } from "../harness/bus.ts"
import { realKafka } from "../harness/kafka.ts"
import { askKafka } from "../harness/kafkaLog.ts"
import { EventBus } from "../../events/EventBus.ts"
import * as KafkaEventBus from "../../events/kafka/KafkaEventBus.ts"

const servers = await realKafka()

/** As the relay does: the same records until they are taken. */
const sendAtLast = (records: Parameters<typeof send>[0]) =>
  Effect.retry(send(records), Schedule.spaced("100 millis")).pipe(Effect.timeout("60 seconds"))

if (servers !== undefined) {
  const bus = Layer.mergeAll(KafkaEventBus.layer(kafkaAt(servers)), Layer.succeed(References.MinimumLogLevel, "None"))
  const ask = (...[work]: Parameters<typeof askKafka> extends [string, ...infer Rest] ? Rest : never) =>
    Effect.promise(() => askKafka(servers, work))

  layer(Layer.provide(bus, Layer.sync(Loops, makeLoops)), { excludeTestServices: true })(
    "EventBus (kafka), while others meddle",
    (it) => {
      it.effect("loses nothing and keeps the order of keys while a member joins and leaves each second", () =>
        Effect.gen(function* () {
          const topic = yield* newTopic(6)
          const group = newGroup(topic)
          yield* group.join(() => Effect.sleep("5 millis"))
          const began = yield* Clock.currentTimeMillis
          const passed = Effect.map(Clock.currentTimeMillis, (now) => now - began)
          let sent = 0
          const sending = Effect.gen(function* () {
            while ((yield* passed) < 10_000) {
              yield* send(numbered(topic, sent, sent + 20))
              sent += 20
              yield* Effect.sleep("50 millis")
            }
          })
          const guests = Effect.gen(function* () {
            let reads = 0
            while ((yield* passed) < 10_000) {
              const guest = yield* group.join()
              yield* Effect.sleep("1 second")
              yield* guest.leave
              if (guest.mine.length > 0) reads += 1
            }
            return reads
          })
          const [, reads] = yield* Effect.all([sending, guests], { concurrency: 2 })
          yield* group.settled
          const all = numbered(topic, 0, sent)
          expect(textsOf(firstsOf(group.received()))).toEqual(textsOf(all))
          expect(byKey(firstsOf(group.received()))).toEqual(byKey(all))
          expect(reads).toBeGreaterThan(0)
        }),
      )

      it.effect("reports that sending fails while it is retried, and not for ever", () =>
        Effect.gen(function* () {
          const topic = yield* newTopic(1)
          const { probe } = yield* EventBus
          const tooLarge = { topic, key: null, value: Buffer.alloc(2_000_000, randomBytes(100_000)), headers: {} }
          yield* probe
          yield* Effect.flip(send([tooLarge]))
          expect(yield* Effect.flip(probe)).toMatchObject({ operation: "send" })
          const clock = yield* Clock.Clock
          const later: Clock.Clock = Object.assign(Object.create(clock), {
            monotonicTimeNanos: Effect.map(clock.monotonicTimeNanos, (nanos) => nanos + 15_000_000_000n),
          })
          yield* Effect.provideService(probe, Clock.Clock, later)
        }),
      )

      it.effect("reads a topic that was deleted and made again from its first record", () =>
        Effect.gen(function* () {
          const topic = yield* newTopic(1)
          const group = newGroup(topic)
          yield* group.join()
          yield* send(numbered(topic, 0, 5))
          yield* group.settled
          yield* ask((admin) => admin.deleteTopics({ topics: [topic] }))
          yield* sendAtLast(numbered(topic, 5, 105))
          const all = new Set(textsOf(numbered(topic, 0, 105)))
          yield* until(
            "all was handled",
            Effect.sync(() => new Set(textsOf(group.received())).size === all.size),
          )
          expect(new Set(textsOf(group.received()))).toEqual(all)
        }),
      )

      it.effect("reads the partitions that a topic gets later", () =>
        Effect.gen(function* () {
          const topic = yield* newTopic(2)
          const group = newGroup(topic)
          yield* group.join()
          yield* ask((admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] }))
          let sent = 0
          const more = Effect.gen(function* () {
            yield* send(numbered(topic, sent, sent + 10))
            sent += 10
            yield* Effect.sleep("300 millis")
            return new Set(group.received().map(({ partition }) => partition)).size === 4
          })
          yield* until("all partitions are read", more)
          yield* group.settled
          // A record for a partition without a leader was sent again.
          expect(new Set(textsOf(group.received()))).toEqual(new Set(textsOf(numbered(topic, 0, sent))))
        }),
      )
    },
  )
}
