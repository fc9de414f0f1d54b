import { Effect, Option } from "effect"
import type { SqlClient, SqlConnection } from "effect/sql"

/** Between two checks of progress, in milliseconds. */
const tickMillis = 250

/** The statements of a running transaction: how many are in progress, and how many have begun. */
interface Statements {
  running: number
  begun: number
}

/**
 * Runs work in the running transaction, and fails with `stuck` when it has made no progress for `millis`: no statement was
 * running, none began, and the work did not end. A slow database is no reason: statements have time-outs of their own.
 * Time during which the process was frozen does not count.
 */
export const unlessStuck = <A, E, R, E2>(
  sql: SqlClient.SqlClient,
  work: Effect.Effect<A, E, R>,
  options: { readonly millis: number; readonly stuck: Effect.Effect<never, E2> },
): Effect.Effect<A, E | E2, R> =>
  Effect.flatMap(Effect.serviceOption(sql.transactionService), (running) => {
    if (Option.isNone(running)) return work
    const statements: Statements = { running: 0, begun: 0 }
    const counted = onConnection(running.value, (connection) => counting(connection, statements), work)
    return Effect.raceFirst(counted, Effect.andThen(idleFor(statements, options.millis), options.stuck))
  })

/**
 * Runs work on another connection in the running transaction. The value of the transaction is changed in place, not copied:
 * `afterCommit` identifies a transaction by this value.
 */
const onConnection = <A, E, R>(
  transaction: readonly [SqlConnection.Connection, number],
  other: (connection: SqlConnection.Connection) => SqlConnection.Connection,
  work: Effect.Effect<A, E, R>,
) =>
  Effect.suspend(() => {
    const level = transaction as [SqlConnection.Connection, number]
    const [connection] = level
    level[0] = other(connection)
    return Effect.ensuring(
      work,
      Effect.sync(() => void (level[0] = connection)),
    )
  })

/** Succeeds after that time without a statement, measured in ticks, which a frozen process does not have. */
const idleFor = (statements: Statements, millis: number) =>
  Effect.gen(function* () {
    let seen = -1
    for (let ticks = 0; ticks * tickMillis < millis; ticks++) {
      yield* Effect.sleep(tickMillis)
      if (statements.running === 0 && statements.begun === seen) continue
      seen = statements.begun
      ticks = 0
    }
  })

/** A connection that counts its statements. */
const counting = (connection: SqlConnection.Connection, statements: Statements): SqlConnection.Connection => {
  const during = <A, E, R>(statement: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      statements.running++
      statements.begun++
      return Effect.ensuring(
        statement,
        Effect.sync(() => void statements.running--),
      )
    })
  return {
    execute: (...asked) => during(connection.execute(...asked)),
    executeRaw: (...asked) => during(connection.executeRaw(...asked)),
    executeUnprepared: (...asked) => during(connection.executeUnprepared(...asked)),
    executeValues: (...asked) => during(connection.executeValues(...asked)),
    executeValuesUnprepared: (...asked) => during(connection.executeValuesUnprepared(...asked)),
    executeStream: (...asked) => connection.executeStream(...asked),
  }
}
