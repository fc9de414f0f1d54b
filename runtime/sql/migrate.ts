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
import { explainDeadLetters } from "./migrations/0008_explain_dead_letters.ts"
import { markReady } from "./migrations/0003_mark_ready.ts"
import { traceTasks } from "./migrations/0009_trace_tasks.ts"
import { reasonOf } from "./onceThere.ts"

/** By name, such as `0001_create_orders`: numbered from 1, run in that order, never edited after a release. */
export type Migrations = Readonly<Record<string, Effect.Effect<void, unknown, SqlClient.SqlClient>>>

const runtime: Migrations = {
  "0001_create_delivery": Effect.asVoid(createDelivery),
  "0002_create_tasks": Effect.asVoid(createTasks),
  "0003_mark_ready": Effect.asVoid(markReady),
  "0004_create_positions": Effect.asVoid(createPositions),
  "0005_create_event_log": Effect.asVoid(createEventLog),
  "0006_count_postponed": Effect.asVoid(countPostponed),
  "0007_index_parked": Effect.asVoid(indexParked),
  "0008_explain_dead_letters": Effect.asVoid(explainDeadLetters),
  "0009_trace_tasks": Effect.asVoid(traceTasks),
}

/** A migration failed. `reason` is the message of the database. */
class MigrationFailed extends Schema.TaggedError<MigrationFailed>()("MigrationFailed", {
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
 * Runs the migrations that the database of `module` lacks: first those of the runtime, then those of the module, each in
 * one transaction. A database that a later release has migrated further is left unchanged. Fails with `MigrationFailed`,
 * or with the error of the infrastructure.
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

/** The same migrations, failing with `MigrationFailed` unless the infrastructure has failed. */
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

/** Runs migrations, and unwraps the migrator's own error. */
const run = (table: string, migrations: Migrations) =>
  Effect.mapError(migrator({ table, loader: Migrator.fromRecord(migrations) }), (error) =>
    error._tag === "MigrationError" && error.kind === "Failed"
      ? (error.cause as MigrationFailed | SqlError.SqlError)
      : error,
  )
