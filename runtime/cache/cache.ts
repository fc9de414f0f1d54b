import { Effect, Layer, type Redacted } from "effect"
import { CircuitBreaker, Persistence } from "effect/persistence"

const memory = Layer.merge(Persistence.layerMemory, CircuitBreaker.layerStoreMemory())

/**
 * The store of cached answers and circuit states: in Redis, shared by all instances, or in the memory of this process. No
 * decision depends on it: it may be lost or unavailable at any moment.
 */
export const layer = (redisUrl: Redacted.Redacted | undefined) =>
  redisUrl === undefined
    ? memory
    : // Imported on demand: a process without Redis does not load its client.
      Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./redis/RedisCache.ts")),
          ({ layer }) => layer(redisUrl),
        ),
      )
