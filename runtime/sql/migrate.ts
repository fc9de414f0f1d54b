import { Cause, Effect, Schema } from "effect"
import { Migrator, type SqlClient, type SqlError } from "effect/sql"
import { faultOf } from "./fault.ts"
import { Database } from "./Database.ts"
import { createDelivery } from "./migrations/0001_create_delivery.ts"
import { createTasks } from "./migrations/0002_create_tasks.ts"
import { createEventLog } from "./migrations/0005_create_event_log.ts"
import { countPostponed } from "./migrations/0006_count_postponed.ts"
import { indexParked } from "./migrations/0007_index_parked.ts"
import { createPositions } from "./migrations/0004_create_positions.ts"
import { markReady } from "./migrations/0003_mark_ready.ts"
import { reasonOf } from "./onceThere.ts"

/** Names sort in the order in which they run: `0001_create_orders`, counted from 1. Never edited after a release. */
export type Migrations = Readonly<Record<string, Effect.Effect<void, unknown, SqlClient.SqlClient>>>

const runtime: Migrations = {
  "0001_create_delivery": Effect.asVoid(createDelivery),
  "0002_create_tasks": Effect.asVoid(createTasks),
  "0003_mark_ready": Effect.asVoid(markReady),
  "0004_create_positions": Effect.asVoid(createPositions),
  "0005_create_event_log": Effect.asVoid(createEventLog),
  "0006_count_postponed": Effect.asVoid(countPostponed),
  "0007_index_parked": Effect.asVoid(indexParked),
}

/** A migration that cannot be done, whose and where it is, and what the database says of it. */
export class MigrationFailed extends Schema.TaggedError<MigrationFailed>()("MigrationFailed", {
  module: Schema.String,
  migration: Schema.String,
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `migration ${this.migration} of ${this.module} failed (${this.file}): ${this.reason}`
  }
}

/**
 * Brings the database of `module` to what this release needs: first the runtime's own tables, then the module's, each in
 * one transaction. A database that a later release has brought further is left as it is. Fails with `MigrationFailed`,
 * or by the fault of the infrastructure.
 */
export const migrate = (migrations: Migrations, module = "a module") =>
  Effect.flatMap(Database, ({ upgrading }) =>
    upgrading(
      Effect.gen(function* () {
        yield* run("runtime_migrations", named(runtime, module, "runtime/sql/migrations"))
        yield* run("module_migrations", named(migrations, module, `modules/${module}/migrations`))
      }),
    ),
  )

/** The same, where a failure that is the migration's own says which one it was. */
const named = (migrations: Migrations, module: string, folder: string): Migrations =>
  Object.fromEntries(
    Object.entries(migrations).map(([migration, work]) => [
      migration,
      Effect.catchCause(work, (cause) =>
        faultOf(cause) === "event" && !Cause.hasInterrupts(cause)
          ? new MigrationFailed({ module, migration, file: `${folder}/${migration}.ts`, reason: reasonOf(cause) })
          : Effect.failCause(cause),
      ),
    ]),
  )

const migrator = Migrator.make({})

/** The migrator has an error of its own round each failure; what it is about counts here. */
const run = (table: string, migrations: Migrations) =>
  Effect.mapError(migrator({ table, loader: Migrator.fromRecord(migrations) }), (error) =>
    error._tag === "MigrationError" && error.kind === "Failed"
      ? (error.cause as MigrationFailed | SqlError.SqlError)
      : error,
  )
