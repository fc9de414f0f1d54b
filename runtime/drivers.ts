import { Effect, Layer, Redacted } from "effect"
import { CircuitBreaker, Persistence } from "effect/persistence"
import type { Settings } from "./config.ts"
import * as EmbeddedEventBus from "./events/embedded/EmbeddedEventBus.ts"
import type { KafkaSettings } from "./events/kafka/settings.ts"
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

/**
 * The store of cached answers and circuit states: in Redis, shared by all instances, or in the memory of this process. No
 * decision depends on it: it may be lost or unavailable at any moment.
 */
export const cache = (redisUrl: Redacted.Redacted | undefined) =>
  redisUrl === undefined
    ? Layer.merge(Persistence.layerMemory, CircuitBreaker.layerStoreMemory())
    : // Imported on demand: a process without Redis does not load its client.
      Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./cache/redis/RedisCache.ts")),
          ({ layer }) => layer(redisUrl),
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
