import { Effect, Layer, Redacted } from "effect"
import type { Settings } from "./config.ts"
import * as EmbeddedEventBus from "./events/embedded/EmbeddedEventBus.ts"
import type { KafkaSettings } from "./events/kafka/client.ts"
import type { Module } from "./module/Module.ts"
import * as EmbeddedDatabase from "./sql/embedded/EmbeddedDatabase.ts"
import { EmbeddedPostgres } from "./sql/embedded/EmbeddedPostgres.ts"
import { addressOf, nameOf } from "./sql/postgres/address.ts"
import * as PostgresDatabase from "./sql/postgres/PostgresDatabase.ts"

/** The drivers according to the settings: the event log, and a database for each module. */
export const drivers = (
  settings: Pick<Settings, "dataDir"> & Partial<Pick<Settings, "modules" | "databases" | "kafka">>,
) => {
  const { modules = [], databases = {}, kafka } = settings
  const embedded = EmbeddedPostgres.layer(settings)
  const isEmbedded = modules.length === 0 || modules.some(({ name }) => databases[name] === undefined)
  return Layer.merge(
    kafka === undefined ? Layer.provide(EmbeddedEventBus.layer, embedded) : kafkaBus(kafka),
    PostgresDatabase.layer({
      urls: databases,
      alone: kafka === undefined,
      otherwise: isEmbedded ? Layer.provide(EmbeddedDatabase.layer, embedded) : undefined,
    }),
  )
}

/** Imported on demand: a process without Kafka does not load its client. */
const kafkaBus = (settings: KafkaSettings) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./events/kafka/KafkaEventBus.ts")),
      ({ layer }) => layer(settings),
    ),
  )

/** Which modules run on which drivers, as text for the log. */
export const placesOf = ({ modules, databases, kafka, dataDir }: Settings): string => {
  const placeOf = ({ name }: Module) => {
    const url = databases[name]
    return url === undefined ? undefined : `PostgreSQL at ${nameOf(addressOf(Redacted.value(url)))}`
  }
  const places = [...Map.groupBy(modules, placeOf)].map(
    ([place, those]) =>
      `${those.map(({ name }) => name).join(", ")} on ${place ?? `an embedded database in ${dataDir}`}`,
  )
  return `${places.join("; ")}; the event log is ${kafka === undefined ? `embedded in ${dataDir}` : `Kafka at ${kafka.servers.join()}`}`
}
