import { Effect } from "effect"
import { Migrator, type SqlClient } from "effect/sql"
import { createDelivery } from "./migrations/0001_create_delivery.ts"

/** Names sort in the order in which they run: `0001_create_orders`, counted from 1. Never edited after a release. */
export type Migrations = Readonly<Record<string, Effect.Effect<void, unknown, SqlClient.SqlClient>>>

const runtime: Migrations = { "0001_create_delivery": Effect.asVoid(createDelivery) }

/** Brings a module's database to what this release needs: first the runtime's own tables, then the module's. */
export const migrate = (migrations: Migrations) =>
  Effect.gen(function* () {
    yield* run({ table: "runtime_migrations", loader: Migrator.fromRecord(runtime) })
    yield* run({ table: "module_migrations", loader: Migrator.fromRecord(migrations) })
  })

const run = Migrator.make({})
