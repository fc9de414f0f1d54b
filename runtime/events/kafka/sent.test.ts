import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, References } from "effect"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { kafkaAt, newTopic, numbered } from "../../test/harness/bus.ts"
import { canStartKafka, producesRecords, startKafka } from "../../test/harness/kafka.ts"
import { EventBus } from "../EventBus.ts"
import { makeKafka } from "./client.ts"
import * as KafkaEventBus from "./KafkaEventBus.ts"

/** What a Produce request asks for, in every version that has no compact strings (Kafka's protocol, key 0). */
const produced = (request: Buffer) => {
  const version = request.readInt16BE(6)
  const clientIdEnd = 14 + request.readInt16BE(12)
  // From version 3 on the id of a transaction comes first; null has the length -1.
  const acksAt = version < 3 ? clientIdEnd : clientIdEnd + 2 + Math.max(0, request.readInt16BE(clientIdEnd))
  return { version, correlation: request.readInt32BE(8), acks: request.readInt16BE(acksAt) }
}

describe.runIf(await canStartKafka())("What is sent to Kafka", { timeout: 120_000 }, () => {
  it.live("waits for all replicas, one request at a time however many send", () =>
    Effect.gen(function* () {
      const kafka = yield* Effect.acquireRelease(
        Effect.promise(() => startKafka()),
        ({ close }) => Effect.promise(close),
      )
      const clients = yield* makeKafka(kafkaAt(kafka.proxiedBootstrap))
      const { proxy } = kafka
      const bus = yield* Effect.provideService(KafkaEventBus.make(clients), Loops, makeLoops())
      const topic = yield* Effect.provideService(newTopic(3), EventBus, bus)
      yield* bus.send(numbered(topic, 0, 1))
      const requests: Array<ReturnType<typeof produced> & { readonly at: number }> = []
      proxy.loseAnswers(Infinity, (sent) => {
        if (producesRecords(sent)) requests.push({ ...produced(sent), at: performance.now() })
        return false
      })
      // An answer takes so long at least: a second request within that time was sent without waiting for it.
      const latencyMillis = 200
      yield* Effect.promise(() => proxy.set({ latencyMillis }))
      const exits = yield* Effect.forEach(
        Array.from({ length: 5 }, (_, n) => n),
        (n) => Effect.exit(bus.send(numbered(topic, 10 * n, 10 * n + 5))),
        { concurrency: 5 },
      )
      expect(exits.every(Exit.isSuccess)).toBe(true)
      yield* Effect.promise(() => proxy.set({}))
      expect(requests.length).toBeGreaterThanOrEqual(5)
      expect(new Set(requests.map(({ acks }) => acks))).toEqual(new Set([-1]))
      const gaps = requests.slice(1).map(({ at }, n) => at - requests[n]!.at)
      expect(Math.min(...gaps), "between two requests, in milliseconds").toBeGreaterThanOrEqual(latencyMillis)
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  )
})
