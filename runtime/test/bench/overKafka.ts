import { Effect, Layer, Logger, Redacted, type Scope } from "effect"
import kafkajs, { type Kafka } from "kafkajs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { drivers } from "../../drivers.ts"
import { encode } from "../../events/cloudEvents.ts"
import type { EventBus, Outgoing } from "../../events/EventBus.ts"
import * as KafkaEventBus from "../../events/kafka/KafkaEventBus.ts"
import { Loops, makeLoops } from "../../loop/loop.ts"
import type { Databases } from "../../sql/Database.ts"
import * as PostgresDatabase from "../../sql/postgres/PostgresDatabase.ts"
import { startKafka } from "../harness/kafka.ts"
import { startPostgresPlace } from "./postgres.ts"

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

/** kafkajs used plainly, without our code. */
export const bareKafka = (bootstrap: string): Kafka =>
  new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING })

/** Where the module's database is, in a bench that runs on either. */
export const places = ["postgres", "embedded"] as const
export type Place = (typeof places)[number]

/** The module whose database `overKafka` brings. */
export const moduleName = "bench"

/** Runs work on Galleria's own drivers over a Kafka and a PostgreSQL of its own, Kafka compiled as in production. */
export const overKafka = async <A>(
  work: (where: {
    readonly bootstrap: string
    /** Of the PostgreSQL. */
    readonly url: string
  }) => Effect.Effect<A, unknown, EventBus | Databases | Loops | Scope.Scope>,
  place: Place = "postgres",
): Promise<A> => {
  const dataDir = await mkdtemp(join(tmpdir(), "galleria-bench-"))
  await using broker = await startKafka({ optimized: true, megabytes: 512 })
  await using postgres = await startPostgresPlace()
  const url = await postgres.create(moduleName)
  const kafka = { servers: [broker.bootstrap], ssl: false, sasl: undefined }
  const databases = PostgresDatabase.layer({
    urls: { [moduleName]: Redacted.make(url) },
    alone: false,
    otherwise: undefined,
  })
  const ports = place === "embedded" ? drivers({ dataDir, kafka }) : Layer.merge(KafkaEventBus.layer(kafka), databases)
  return await work({ bootstrap: broker.bootstrap, url })
    .pipe(
      Effect.provide([Layer.provideMerge(ports, Layer.sync(Loops, makeLoops)), Logger.layer([])]),
      Effect.scoped,
      Effect.runPromise,
    )
    .finally(() => rm(dataDir, { recursive: true, force: true }))
}
