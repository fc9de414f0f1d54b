import { Context, Effect, Layer, type Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { textOf } from "../../module/defect.ts"
import { coalesce } from "../coalesce.ts"
import { Database, Databases, DatabaseUnavailable } from "../Database.ts"
import { endless, Patience } from "../patience.ts"
import { transactionOf } from "../transaction.ts"
import { makeBells } from "./bells.ts"
import { pooledClient } from "./client.ts"
import { lockedSession } from "./lock.ts"
import type { SessionOptions } from "./session.ts"

/** Looks again soon: what is waited for takes moments. */
const soon = Schedule.spaced("100 millis")

/** A module's database as a schema of a PostgreSQL, which several instances may use side by side. */
export const databaseAt = (options: SessionOptions) =>
  Layer.effectContext(
    Effect.gen(function* () {
      yield* ensureSchema(options)
      const sql = yield* pooledClient(options)
      const database = Database.of({
        transaction: transactionOf(sql),
        coalesce: (many) => Effect.map(coalesce(many), (send) => (input) => patiently(send(input))),
        exclusive: Effect.map(lockedSession(options, "exclusive"), ({ sql }) => sql),
        upgrading: upgradingOf(options),
        bell: yield* makeBells(sql, options),
        probe: probeOf(sql),
        writable: Effect.void,
      })
      return Context.make(SqlClient.SqlClient, sql).pipe(Context.add(Database, database))
    }),
  )

/** Whoever may not create one finds it made by somebody who may. */
const ensureSchema = (options: SessionOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { sql } = yield* lockedSession(options, "schema", soon)
      const { schema } = options
      const there = yield* sql`select from pg_namespace where nspname = ${schema}`
      if (there.length === 0) yield* sql`create schema ${sql(schema)}`
    }),
  )

/** What takes long may do so; but whoever works on meanwhile must not wait in a queue behind a lock that is waited for. */
const upgradingOf =
  (options: SessionOptions): Database["Service"]["upgrading"] =>
  (work) =>
    Effect.scoped(
      Effect.gen(function* () {
        const settings = { statement_timeout: "0", idle_in_transaction_session_timeout: "60000" }
        const { sql } = yield* lockedSession({ ...options, settings }, "upgrade", soon)
        return yield* work.pipe(
          Effect.provideService(SqlClient.SqlClient, sql),
          Effect.provideService(Patience, endless),
        )
      }),
    )

/** A caller without patience left is answered, while what it asked for may still be done. */
const patiently = <A>(work: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.withFiber((fiber) => {
    const patience = fiber.getRef(Patience)
    return patience === undefined
      ? work
      : Effect.timeoutOrElse(work, {
          duration: patience.left,
          orElse: () => Effect.die(new DatabaseUnavailable({ reason: "the database did not answer in time" })),
        })
  })

/** Fails by PostgreSQL's own code where nothing may be written, so that the session is not used again. */
const probeOf = (sql: SqlClient.SqlClient) =>
  sql`do $$ begin
    if current_setting('transaction_read_only')::bool then
      raise 'the database may not be written to' using errcode = '25006';
    end if; end $$`.pipe(
    Effect.provideServiceEffect(
      Patience,
      Effect.sync(() => ({ left: 1_500 })),
    ),
    Effect.mapError(({ reason }) => new DatabaseUnavailable({ reason: textOf(reason.cause) })),
    Effect.asVoid,
  )

const nowhere = Layer.succeed(Databases, {
  of: (module) => Layer.effectContext(Effect.die(new Error(`nothing says where the database of ${module} is`))),
})

/** A schema for each module in the PostgreSQL at its URL; modules without one get theirs from `otherwise`. */
export const layer = <E = never, R = never>(
  urls: Readonly<Record<string, Redacted.Redacted>>,
  otherwise: Layer.Layer<Databases, E, R> = nowhere as Layer.Layer<Databases, E, R>,
) =>
  Layer.effect(
    Databases,
    Effect.map(Databases, (others) => ({
      of: (module: string) => {
        const url = urls[module]
        return url === undefined ? others.of(module) : databaseAt({ url, schema: module })
      },
    })),
  ).pipe(Layer.provide(otherwise))
