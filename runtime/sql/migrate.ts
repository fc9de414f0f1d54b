import { Effect } from "effect"
import { Migrator, type SqlClient } from "effect/sql"
import { Database } from "./Database.ts"
import { createDelivery } from "./migrations/0001_create_delivery.ts"
import { createTasks } from "./migrations/0002_create_tasks.ts"
import { createPositions } from "./migrations/0004_create_positions.ts"
import { markReady } from "./migrations/0003_mark_ready.ts"

/** Names sort in the order in which they run: `0001_create_orders`, counted from 1. Never edited after a release. */
export type Migrations = Readonly<Record<string, Effect.Effect<void, unknown, SqlClient.SqlClient>>>

const runtime: Migrations = {
  "0001_create_delivery": Effect.asVoid(createDelivery),
  "0002_create_tasks": Effect.asVoid(createTasks),
  "0003_mark_ready": Effect.asVoid(markReady),
  "0004_create_positions": Effect.asVoid(createPositions),
}

/**
 * Brings a module's database to what this release needs: first the runtime's own tables, then the module's, each in one
 * transaction. A database that a later release has brought further is left as it is.
 */
export const migrate = (migrations: Migrations) =>
  Effect.flatMap(Database, ({ upgrading }) =>
    upgrading(
      Effect.gen(function* () {
        yield* run({ table: "runtime_migrations", loader: Migrator.fromRecord(runtime) })
        yield* run({ table: "module_migrations", loader: Migrator.fromRecord(migrations) })
      }),
    ),
  )

const run = Migrator.make({})
