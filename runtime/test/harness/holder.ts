import { Context, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import { databaseAt } from "../../sql/postgres/PostgresDatabase.ts"

/**
 * An instance that takes what one has at a time, says so, and keeps it until it is gone, or its parent is; with
 * `MIGRATING` what it keeps is a migration that it does not finish.
 */
const { DATABASE_URL = "", SCHEMA = "", ALONE, MIGRATING } = process.env
process.stdin.on("end", () => process.exit()).resume()

const holding = Effect.gen(function* () {
  const at = databaseAt({ url: Redacted.make(DATABASE_URL), schema: SCHEMA, alone: ALONE !== undefined })
  const context = yield* Layer.build(at)
  const say = Effect.sync(() => process.stdout.write("held\n"))
  const stuck = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table number (n int primary key)`
    yield* say
    yield* sql`select pg_sleep(600)`
  })
  if (MIGRATING !== undefined) yield* Effect.provideContext(migrate({ "0001_stuck": stuck }), context)
  yield* Context.get(context, Database).exclusive
  yield* say
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(holding))
