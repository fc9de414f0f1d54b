import { Effect, Layer, type Redacted } from "effect"
import { CircuitBreaker, Persistence } from "effect/persistence"

const memory = Layer.merge(Persistence.layerMemory, CircuitBreaker.layerStoreMemory())

/**
 * Where modules keep cached answers and the states of their circuits: in Redis, for all instances together, or in the
 * memory of this process. Neither decides anything: both may be lost, and be away, at any moment.
 */
export const layer = (redisUrl: Redacted.Redacted | undefined) =>
  redisUrl === undefined
    ? memory
    : // Loaded when it is needed: a process without Redis starts without its client.
      Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./redis/RedisCache.ts")),
          ({ layer }) => layer(redisUrl),
        ),
      )
