import { Effect, Layer, Logger, type Scope } from "effect"
import kafkajs, { type Kafka } from "kafkajs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { drivers } from "../compose.ts"
import { encode } from "../events/cloudEvents.ts"
import type { EventBus, Outgoing } from "../events/EventBus.ts"
import { Loops, makeLoops } from "../module/loop.ts"
import type { Databases } from "../sql/Database.ts"
import { startKafka } from "../testing/kafka.ts"

/** A value of about 300 bytes, as an order's is, with the headers that the relay gives it. */
export const recordOf = (topic: string, n: number, keys: number): Outgoing =>
  encode({
    id: `01a1ff33-374c-72ca-8922-${String(n).padStart(12, "0")}`,
    source: "/galleria/bench",
    type: topic,
    version: 1,
    key: String(n % keys),
    subject: String(n),
    time: "2026-01-01T00:00:00.000Z",
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    data: dataOf(n, keys),
  })

export const dataOf = (n: number, keys: number) => JSON.stringify({ n, user_id: n % keys, text: "x".repeat(270) })

/** kafkajs as anybody would use it, without a word of ours. */
export const bareKafka = (bootstrap: string): Kafka =>
  new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING })

/** Runs work on Galleria's own drivers over a Kafka of its own, compiled as in production. */
export const overKafka = async <A>(
  work: (bootstrap: string) => Effect.Effect<A, unknown, EventBus | Databases | Scope.Scope>,
): Promise<A> => {
  const dataDir = await mkdtemp(join(tmpdir(), "galleria-bench-"))
  await using broker = await startKafka({ optimized: true, megabytes: 512 })
  const kafka = { servers: [broker.bootstrap], ssl: false, sasl: undefined }
  return await work(broker.bootstrap)
    .pipe(
      Effect.provide([Layer.provideMerge(drivers({ dataDir, kafka }), Layer.sync(Loops, makeLoops)), Logger.layer([])]),
      Effect.scoped,
      Effect.runPromise,
    )
    .finally(() => rm(dataDir, { recursive: true, force: true }))
}
