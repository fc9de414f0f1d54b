import { describe, expect, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { kafkaAt, newGroup, newTopic, numbered, textsOf, until } from "../../test/harness/bus.ts"
import { realKafka } from "../../test/harness/kafka.ts"
import { EventBus, HandleWithin } from "../EventBus.ts"
import { eventBusSuite } from "../suite/EventBusSuite.ts"
import { onKafka } from "../suite/onKafka.ts"
import { makeKafka } from "./client.ts"
import * as KafkaEventBus from "./KafkaEventBus.ts"

const servers = await realKafka()
if (servers !== undefined) {
  eventBusSuite({ name: "kafka", log: onKafka(servers.split(",")) })

  /** The bus as a process has it, and what that process knows of its loops. */
  const open = Effect.gen(function* () {
    const loops = makeLoops()
    const kafka = yield* makeKafka({ ...kafkaAt(servers), servers: servers.split(",") })
    return { bus: yield* Effect.provideService(KafkaEventBus.make(kafka), Loops, loops), loops }
  })

  describe("KafkaEventBus", () => {
    it.live("reports a failure until another member has the partition", () =>
      Effect.gen(function* () {
        const [one, other] = [yield* open, yield* open]
        const topic = yield* Effect.provideService(newTopic(2), EventBus, one.bus)
        const group = newGroup(topic)
        const fault = one.loops.faultOf(`${group.name}.consumer`)
        let heals = false
        yield* group
          .join(() => (heals ? Effect.void : Effect.fail("refused")))
          .pipe(Effect.provideService(EventBus, one.bus))
        yield* one.bus.send(numbered(topic, 0, 20))
        yield* until(
          "both partitions fail",
          Effect.sync(() => new Set(group.received().map(({ partition }) => partition)).size === 2),
        )
        yield* until(
          "it is reported",
          Effect.map(fault, (reason) => reason === "refused"),
        )
        const { mine } = yield* Effect.provideService(group.join(), EventBus, other.bus)
        yield* until(
          "the other has one of them",
          Effect.sync(() => mine.length > 0),
        )
        heals = true
        yield* Effect.provideService(group.settled, EventBus, one.bus)
        yield* until(
          "nothing is reported any more",
          Effect.map(fault, (reason) => reason === undefined),
        )
        expect(new Set(mine.flat().map(({ partition }) => partition)).size).toBe(1)
      }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
    )

    it.live("reads no record of a transaction that was aborted, and reads on behind it", () =>
      Effect.gen(function* () {
        const { bus } = yield* open
        const topic = yield* Effect.provideService(newTopic(1), EventBus, bus)
        const client = (yield* makeKafka(kafkaAt(servers)))()
        const producer = client.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
        yield* Effect.promise(async () => {
          await producer.connect()
          const transaction = await producer.transaction()
          await transaction.send({ topic, messages: [{ value: "never happened" }] })
          await transaction.abort()
          await producer.disconnect()
        })
        yield* bus.send(numbered(topic, 0, 2))
        const all = bus.read({ topic, partition: 0, from: { offset: 0 }, max: 10, within: "20 seconds" })
        // The broker acknowledges the abort before its marker is in the partition, and returns nothing until it is.
        yield* until(
          "everything is read",
          Effect.map(all, ({ next, end }) => next === end),
        )
        expect(textsOf((yield* all).records)).toEqual(["0", "1"])
        const one = yield* bus.read({ topic, partition: 0, from: { offset: 0 }, max: 1, within: "20 seconds" })
        expect(textsOf(one.records)).toEqual(["0"])
      }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
    )

    it.live("keeps its partition while the calls for one batch take long in sum, though none of them does", () =>
      Effect.gen(function* () {
        const { bus } = yield* open
        const inBus = Effect.provideService(EventBus, bus)
        const topic = yield* inBus(newTopic(1))
        const group = newGroup(topic)
        // Eight calls of 2 s: longer than a member may be silent, and than one call may take.
        yield* bus.send(numbered(topic, 0, 4_000))
        yield* inBus(group.join(() => Effect.sleep("2 seconds")))
        yield* inBus(group.settled)
        expect(group.calls.map(({ length }) => length)).toEqual(Array.from({ length: 8 }, () => 500))
        expect(textsOf(group.received())).toEqual(textsOf(numbered(topic, 0, 4_000)))
      }).pipe(
        Effect.scoped,
        Effect.provideService(HandleWithin, "8 seconds"),
        Effect.provideService(References.MinimumLogLevel, "None"),
      ),
    )
  })
}
