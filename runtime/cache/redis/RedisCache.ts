import { Context, Effect, Layer, type Redacted } from "effect"
import { CircuitBreaker, Persistence, Redis } from "effect/persistence"
import { connect } from "./client.ts"

/** Values are written asynchronously and may be lost: a request waits for Redis only when it reads. */
const writtenBehind = Layer.effect(
  Persistence.BackingPersistence,
  Effect.gen(function* () {
    const backing = yield* Persistence.BackingPersistence
    const scope = yield* Effect.scope
    const behind = (write: Effect.Effect<void, Persistence.PersistenceError>) =>
      Effect.asVoid(Effect.forkIn(Effect.ignore(write), scope, { startImmediately: true }))
    return {
      make: (storeId) =>
        Effect.map(backing.make(storeId), (store) => ({
          ...store,
          set: (key, value, timeToLive) => behind(store.set(key, value, timeToLive)),
          setMany: (entries) => behind(store.setMany(entries)),
        })),
    }
  }),
)

const isAway = ({ reason }: CircuitBreaker.CircuitBreakerError) => reason._tag === "CircuitBreakerStoreError"

/** A call admitted by the process's own store has a negative generation, so that its result is recorded there too. */
const ownGeneration = (generation: number) => -1 - generation

/** Circuit states shared by all instances; while Redis is unavailable, each process has its own. */
const circuits = Layer.effect(
  CircuitBreaker.CircuitBreakerStore,
  Effect.gen(function* () {
    const shared = yield* CircuitBreaker.CircuitBreakerStore
    const own = Context.get(yield* Layer.build(CircuitBreaker.layerStoreMemory()), CircuitBreaker.CircuitBreakerStore)
    const admitAlone = (key: string) =>
      Effect.map(own.admit(key), (admission) => ({ ...admission, generation: ownGeneration(admission.generation) }))
    return {
      admit: (key) => Effect.catchIf(shared.admit(key), isAway, () => admitAlone(key)),
      record: (result) =>
        result.generation < 0
          ? own.record({ ...result, generation: ownGeneration(result.generation) })
          : Effect.catchIf(shared.record(result), isAway, () => Effect.undefined),
      state: (key) => Effect.catchIf(shared.state(key), isAway, () => own.state(key)),
    }
  }),
)

/** Cached answers and circuits in the Redis at this URL; no other program may use that Redis database. */
export const layer = (redisUrl: Redacted.Redacted) =>
  Layer.merge(
    Persistence.layer.pipe(Layer.provide(writtenBehind), Layer.provide(Persistence.layerBackingRedis)),
    circuits.pipe(Layer.provide(CircuitBreaker.layerStoreRedis({ prefix: "galleria:circuit:" }))),
  ).pipe(Layer.provide(Layer.effect(Redis.Redis, connect(redisUrl))))
