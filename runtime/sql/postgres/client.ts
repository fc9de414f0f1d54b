import { PgClient, type PgConnection } from "@effect/sql-pg"
import { Effect, Pool, Redacted, Schedule, type Scope, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { SqlClient, type SqlConnection, SqlError } from "effect/sql"
import { codeOf } from "../fault.ts"
import { Patience, spend } from "../patience.ts"
import { addressOf } from "./address.ts"
import { openSession, type Session, type SessionOptions } from "./session.ts"

/** The most connections of a module, without those of its relay and its bells. */
const mostConnections = 8

/** An idle connection is closed after this: other clients of the server may need it. */
const idleFor = "10 seconds"

/** Time-outs (ms) of fibers without patience. The server ends a statement earlier. */
const background = { connection: 5_000, statement: 6_000 }

type Opened = Effect.Effect<Session, SqlError.SqlError, Scope.Scope>

/**
 * A client over a pool of sessions, which are opened on demand. A fiber waits for a connection and an answer no longer than
 * its patience, and a session that does not answer is cut, so a frozen or unreachable server blocks no fiber. Cut sessions
 * are replaced, so the client recovers as soon as the server does.
 */
export const pooledClient = (options: SessionOptions) =>
  Effect.gen(function* () {
    const fork = Effect.runForkWith(yield* Effect.context())
    const pool: Pool.Pool<Session, SqlError.SqlError> = yield* Pool.makeWithTTL({
      acquire: Effect.tap(openSession(options), (session) =>
        Effect.sync(() => session.onCut(() => fork(Pool.invalidate(pool, session)))),
      ),
      min: 0,
      max: mostConnections,
      timeToLive: idleFor,
      timeToLiveStrategy: "usage",
    })
    const free: Opened = Effect.flatMap(Pool.get(pool), (session) =>
      session.isCut() || session.wasCancelled
        ? Effect.andThen(Pool.invalidate(pool, session), free)
        : Effect.succeed(session),
    )
    return yield* clientOver(options, inTime(free))
  })

/** A client on one session. When that is cut, the client fails for good. */
export const clientOn = (options: SessionOptions, session: Session) => clientOver(options, Effect.succeed(session))

const clientOver = (options: SessionOptions, session: Opened) => {
  const { host, port, database } = addressOf(Redacted.value(options.url))
  return SqlClient.make({
    driver: "@effect/sql-pg",
    acquirer: Effect.map(session, (session) => connectionOver(session, session.connection)),
    transactionAcquirer: Effect.flatMap(session, (session) =>
      Effect.map(session.connection.pin, (pinned) => connectionOver(session, pinned)),
    ),
    compiler: PgClient.makeCompiler(),
    prepareTransactionControls: true,
    commit: (connection) =>
      Effect.flatMap(connection.executeRaw("COMMIT", []), (result) =>
        (result as PgConnection.Result).command === "ROLLBACK" ? Effect.fail(rolledBack()) : Effect.void,
      ),
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [
      ["db.system.name", "postgresql"],
      ["db.namespace", `${database}|${options.schema}`],
      ["server.address", host],
      ["server.port", port],
    ],
  }).pipe(Effect.provide(Reactivity.layer))
}

/** Waits for a connection, also while the server has none left: one of the pool will become free. */
const inTime = (free: Opened): Opened =>
  Effect.withFiber((fiber) => {
    const patience = fiber.getRef(Patience)
    const millis = patience?.left ?? background.connection
    const began = performance.now()
    const retried = Effect.retry(free, { while: isCrowded, schedule: Schedule.spaced("50 millis") })
    const bounded = Number.isFinite(millis)
      ? Effect.timeoutOrElse(retried, {
          duration: millis,
          orElse: () => Effect.fail(away("no connection to the database became free in time")),
        })
      : retried
    return Effect.ensuring(
      bounded,
      Effect.sync(() => spend(patience, performance.now() - began)),
    )
  })

/** PostgreSQL's `too_many_connections`. */
const isCrowded = (error: SqlError.SqlError) => codeOf(error) === "53300"

/** A read-only session stays read-only when the database has become writable again. */
const isReadOnly = (error: SqlError.SqlError) => codeOf(error) === "25006"

/** Cuts the session when there is no answer within the patience of the fiber. */
const answered = <A>(session: Session, statement: Effect.Effect<A, SqlError.SqlError>) =>
  Effect.withFiber<A, SqlError.SqlError>((fiber) => {
    const patience = fiber.getRef(Patience)
    const millis = patience?.left ?? background.statement
    const began = performance.now()
    let isLate = false
    const timer = Number.isFinite(millis)
      ? setTimeout(() => {
          isLate = true
          session.cut()
        }, millis)
      : undefined
    session.pending++
    return statement.pipe(
      Effect.mapError((error) => {
        if (isReadOnly(error)) session.cut()
        return isLate ? away("the database did not answer in time") : error
      }),
      Effect.ensuring(
        Effect.sync(() => {
          clearTimeout(timer)
          session.pending--
          session.answered++
          spend(patience, performance.now() - began)
        }),
      ),
    )
  })

const connectionOver = (session: Session, connection: PgConnection.PgConnection): SqlConnection.Connection => {
  const raw = (sql: string, parameters: ReadonlyArray<unknown>, prepare = true) =>
    answered(session, connection.query(sql, parameters, prepare))
  const rows = (sql: string, parameters: ReadonlyArray<unknown>, prepare = true) =>
    Effect.map(raw(sql, parameters, prepare), (result) => result.rows)
  return {
    execute: (sql, parameters) => rows(sql, parameters),
    executeRaw: (sql, parameters) => raw(sql, parameters),
    executeUnprepared: (sql, parameters) => rows(sql, parameters, false),
    executeValues: (sql, parameters) => answered(session, connection.queryValues(sql, parameters)),
    executeValuesUnprepared: (sql, parameters) => answered(session, connection.queryValues(sql, parameters, false)),
    executeStream: (sql, parameters) => Stream.mapArray(connection.stream(sql, parameters), (rows) => rows),
  }
}

const away = (message: string) =>
  new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: new Error(message), message, operation: "query" }),
  })

/** PostgreSQL answers COMMIT with ROLLBACK when an earlier statement had failed and its error was ignored. */
const rolledBack = () => {
  const message = "the transaction had failed before its commit, and was rolled back"
  return new SqlError.SqlError({
    reason: new SqlError.UnknownError({ cause: new Error(message), message, operation: "commit" }),
  })
}
