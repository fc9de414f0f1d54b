import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { drivers } from "../test/harness/memory.ts"
import { Database, Databases } from "./Database.ts"
import { unlessStuck } from "./watch.ts"

/** What a transaction did, in its order: two pieces of watched work, the second in a savepoint that ends as `end` does. */
const story = (end: Effect.Effect<void, string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const done: Array<string> = []
    const note = (what: string) => Effect.sync(() => void done.push(what))
    const watched = (name: string, end: Effect.Effect<void, string>) =>
      unlessStuck(sql, Effect.andThen(sql.afterCommit(note(`after ${name}`)), end), {
        millis: 4_000,
        stuck: Effect.die(new Error("stuck")),
      })
    const savepoint = Effect.exit(sql.withTransaction(watched("the second", end)))
    const work = Effect.andThen(Effect.orDie(watched("the first", Effect.void)), savepoint)
    yield* database.transaction(Effect.andThen(work, note("the last statement")))
    return done
  })

layer(drivers())("Work that is watched in a transaction", (it) => {
  const inDatabase = <A, E>(work: Effect.Effect<A, E, SqlClient.SqlClient | Database>) =>
    Effect.flatMap(Databases, (databases) => Effect.provide(work, databases.of("watched")))

  it.effect("leaves what is to run after the commit until then", () =>
    Effect.gen(function* () {
      expect(yield* inDatabase(story(Effect.void))).toEqual([
        "the last statement",
        "after the first",
        "after the second",
      ])
    }),
  )

  it.effect("takes it back with the savepoint that it was done in", () =>
    Effect.gen(function* () {
      expect(yield* inDatabase(story(Effect.fail("no")))).toEqual(["the last statement", "after the first"])
    }),
  )
})
