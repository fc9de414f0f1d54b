import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { coalesce } from "../coalesce.ts"
import { type Bell, Database, Databases, DatabaseUnavailable } from "../Database.ts"
import { localBell, transactionOf } from "../transaction.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"

/**
 * A module's database as a schema of the embedded one. The lock of the folder makes this the only process, so every client
 * is exclusive, and bells need only memory.
 */
const databaseIn = (postgres: EmbeddedPostgres["Service"], schema: string) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const sql = yield* postgres.client(schema)
      const bells = new Map<string, Bell>()
      let coalesced = 0
      const bell = (name: string) => {
        const known = bells.get(name) ?? localBell(sql)
        bells.set(name, known)
        return known
      }
      const database = Database.of({
        transaction: transactionOf(sql),
        // There is only one session.
        patient: Effect.void,
        coalesce: (many) => coalesce(`${schema}.coalesced-${++coalesced}`, many, false),
        exclusive: Effect.succeed(sql),
        upgrading: (work) => Effect.provideService(work, SqlClient.SqlClient, sql),
        bell,
        probe: Effect.mapError(
          Effect.asVoid(sql`select 1`),
          (error) => new DatabaseUnavailable({ reason: error.message }),
        ),
        writable: postgres.writable,
      })
      return Context.make(SqlClient.SqlClient, sql).pipe(Context.add(Database, database))
    }),
  )

/** A schema for each module in the embedded database. */
export const layer = Layer.effect(
  Databases,
  Effect.map(EmbeddedPostgres, (postgres) => ({ of: (module: string) => databaseIn(postgres, module) })),
)
