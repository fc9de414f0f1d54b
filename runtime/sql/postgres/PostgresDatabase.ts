import { Cause, Context, Effect, Layer, Redacted, Schedule } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { codeOf } from "../fault.ts"
import { coalesce } from "../coalesce.ts"
import { Database, DatabaseRefused, Databases, DatabaseUnavailable } from "../Database.ts"
import { reasonOf } from "../onceThere.ts"
import { endless, Patience } from "../patience.ts"
import { transactionOf } from "../transaction.ts"
import { addressOf, nameOf } from "./address.ts"
import { makeBells } from "./bells.ts"
import { pooledClient } from "./client.ts"
import { lockedSession, onlySession } from "./lock.ts"
import { askServer, faultIn } from "./server.ts"
import type { Session, SessionOptions } from "./session.ts"

/** Between two attempts to take a lock that is held for moments. */
const soon = Schedule.spaced("100 millis")

/**
 * A module's database as a schema of a PostgreSQL server, which several instances may share. With `alone` this process fails
 * when another process with `alone` has the database.
 */
export const databaseAt = ({ alone, ...options }: SessionOptions & { readonly alone: boolean }) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const fault = faultIn(yield* refusable(options, askServer(options)))
      if (fault !== undefined) return yield* refusedOf(options, fault)
      if (alone) yield* refusable(options, takeAlone(options))
      yield* refusable(options, ensureSchema(options))
      const sql = yield* pooledClient(options)
      let coalesced = 0
      const database = Database.of({
        transaction: transactionOf(sql),
        patient: Effect.asVoid(Effect.orDie(sql`set local lock_timeout = '3s'`)),
        coalesce: (many) => coalesce(`${options.schema}.coalesced-${++coalesced}`, many, true),
        exclusive: Effect.map(lockedSession(options, "exclusive"), ({ sql }) => sql),
        upgrading: upgradingOf(options),
        bell: yield* makeBells(sql, options),
        probe: probeOf(sql),
        writable: Effect.void,
      })
      return Context.make(SqlClient.SqlClient, sql).pipe(Context.add(Database, database))
    }),
  )

const refusedOf = ({ schema, url }: SessionOptions, reason: string) =>
  new DatabaseRefused({ module: schema, database: nameOf(addressOf(Redacted.value(url))), reason })

/** The server rejects the user (class 28), does not know a setting (42704), or denies to create a schema (42501). */
const refusals = /^(?:28|42704|42501)/u

/** Makes a `DatabaseRefused` of an error that a retry cannot help. */
const refusable = <A, E, R>(options: SessionOptions, work: Effect.Effect<A, E, R>) =>
  Effect.catchIf(
    work,
    (error): error is E & SqlError.SqlError => SqlError.isSqlError(error) && refusals.test(codeOf(error)),
    (error) => Effect.fail(refusedOf(options, reasonOf(Cause.fail(error)))),
  )

/** A process that was just killed holds its lock until the server has noticed. */
const moment = soon.pipe(Schedule.upTo({ duration: "3 seconds" }))

/** Within this the server ends the session of a client that does not respond, as of this process before an outage. */
const outage = soon.pipe(Schedule.upTo({ duration: "15 seconds" }))

/**
 * Locks the database against every other process with an embedded event log, while this one runs. After an outage the lock
 * is taken again; when another process has taken it meanwhile, this process exits.
 */
const takeAlone = (options: SessionOptions) =>
  Effect.gen(function* () {
    const take = (wait: typeof moment) =>
      Effect.gen(function* () {
        const { session, taken } = yield* onlySession(options, wait)
        return taken ? session : yield* refusedOf(options, "another process uses it; without Kafka there is only one")
      })
    const cut = (session: Session) => Effect.callback<void>((resume) => session.onCut(() => resume(Effect.void)))
    const first = yield* take(moment)
    const again = Effect.scoped(Effect.flatMap(take(outage), cut)).pipe(
      Effect.tapError((error) => (SqlError.isSqlError(error) ? Effect.void : endProcess(error))),
      Effect.retry(Schedule.spaced("1 second")),
    )
    yield* Effect.forkScoped(Effect.andThen(cut(first), Effect.forever(again)))
  })

const endProcess = (error: DatabaseRefused) =>
  Effect.sync(() => {
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  })

/** Creates the schema unless it exists, which needs no privilege to create one. */
const ensureSchema = (options: SessionOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { sql } = yield* lockedSession(options, "schema", soon)
      const { schema } = options
      const there = yield* sql`select 1 from pg_namespace where nspname = ${schema}`
      if (there.length === 0) yield* sql`create schema ${sql(schema)}`
    }),
  )

/** `Database.upgrading`: statements may take long, but the lock time-out stays, because others queue behind a lock that is waited for. */
const upgradingOf =
  (options: SessionOptions): Database["Service"]["upgrading"] =>
  (work) =>
    Effect.scoped(
      Effect.gen(function* () {
        const settings = {
          statement_timeout: "0",
          idle_in_transaction_session_timeout: "60000",
          // A statement of a process that was killed ends within a second.
          client_connection_check_interval: "1000",
        }
        const { sql } = yield* lockedSession({ ...options, settings }, "upgrade", soon)
        return yield* work.pipe(
          Effect.provideService(SqlClient.SqlClient, sql),
          Effect.provideService(Patience, endless),
        )
      }),
    )

/** Fails with PostgreSQL's code for a read-only transaction where nothing may be written, so that the session is dropped. */
const probeOf = (sql: SqlClient.SqlClient) =>
  sql`do $$ begin
    if current_setting('transaction_read_only')::bool then
      raise 'the database may not be written to' using errcode = '25006';
    end if; end $$`.pipe(
    Effect.provideServiceEffect(
      Patience,
      Effect.sync(() => ({ left: 1_500 })),
    ),
    Effect.mapError((error) => new DatabaseUnavailable({ reason: reasonOf(Cause.fail(error)) })),
    Effect.asVoid,
  )

const nowhere = Layer.succeed(Databases, {
  of: (module) => Layer.effectContext(Effect.die(new Error(`no URL is set for the database of ${module}`))),
})

/**
 * A schema for each module in the PostgreSQL at its URL; modules without a URL get theirs from `otherwise`. Set `alone` for a
 * process with an embedded event log.
 */
export const layer = <E = never, R = never>(options: {
  readonly urls: Readonly<Record<string, Redacted.Redacted>>
  readonly alone: boolean
  readonly otherwise: Layer.Layer<Databases, E, R> | undefined
}) =>
  Layer.effect(
    Databases,
    Effect.map(Databases, (others) => ({
      of: (module: string) => {
        const url = options.urls[module]
        return url === undefined ? others.of(module) : databaseAt({ url, schema: module, alone: options.alone })
      },
    })),
  ).pipe(Layer.provide(options.otherwise ?? (nowhere as Layer.Layer<Databases, E, R>)))
