import { expect, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { EventBus } from "../events/EventBus.ts"
import { Databases } from "../sql/Database.ts"
import { migrate } from "../sql/migrate.ts"
import { drivers } from "../test/harness/memory.ts"
import { bindLog } from "./logIdentity.ts"

layer(drivers())("The identity of the log", (it) => {
  it.effect("is kept with the first start, and every other log is refused", () =>
    Effect.gen(function* () {
      yield* migrate({})
      const bus = yield* EventBus
      const bind = (identity: string) =>
        Effect.provideService(bindLog("shop"), EventBus, { ...bus, identity: Effect.succeed(identity) })
      yield* Effect.all([bind("kafka:one"), bind("kafka:one")], { concurrency: 2 })
      yield* bind("kafka:one")
      const refused = yield* Effect.flip(bind("embedded:two"))
      expect(refused).toMatchObject({ _tag: "OtherLog", bound: "kafka:one", found: "embedded:two" })
      expect(refused.message).toMatch(
        /^the database of shop belongs to the event log kafka:one, not to embedded:two: .* delete from "shop"\.event_log;/u,
      )
      yield* bind("kafka:one")
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("shop"))))),
  )
})
