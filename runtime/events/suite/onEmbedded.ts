import { Deferred, Effect, Layer } from "effect"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"
import { postgres } from "../../test/harness/memory.ts"
import * as EmbeddedEventBus from "../embedded/EmbeddedEventBus.ts"
import { Log } from "./Log.ts"

const make = Effect.gen(function* () {
  const context = yield* Effect.context<EmbeddedPostgres | Loops>()
  const own = Effect.provideContext(EmbeddedEventBus.make, context)
  const open = Effect.map(own, ({ bus }) => bus)

  /** What a dead process has in hand never ends as far as the log can see. */
  const process = Effect.gen(function* () {
    const bus = yield* open
    const dead = yield* Deferred.make<never, string>()
    const consume: typeof bus.consume = ({ handle, ...options }) =>
      bus.consume({
        ...options,
        handle: (records, spans) =>
          Effect.flatMap(Deferred.isDone(dead), (isDead) =>
            isDead ? Deferred.await(dead) : Effect.raceFirst(handle(records, spans), Deferred.await(dead)),
          ),
      })
    const kill = Effect.asVoid(Deferred.fail(dead, "killed"))
    yield* Effect.addFinalizer(() => kill)
    return { bus: { ...bus, consume }, kill, freeze: Effect.void, thaw: Effect.void }
  })

  const age = (topic: string) =>
    Effect.gen(function* () {
      const { prune } = yield* own
      const sql = yield* (yield* EmbeddedPostgres).client("events")
      yield* sql`update record set time = time - interval '10 years' where topic = ${topic}`
      yield* prune
    }).pipe(Effect.scoped, Effect.provideContext(context))

  return Log.of({
    open,
    process,
    age,
    differences: { patience: "30 seconds", silence: "0 seconds", sideBySide: false, keepsForGroups: true },
  })
})

/** The embedded log, in memory. One process has it, so those of a check stand for one that follows on another. */
export const onEmbedded = Layer.suspend(() =>
  Layer.provide(Layer.effect(Log, make), Layer.merge(postgres(), Layer.sync(Loops, makeLoops))),
)
