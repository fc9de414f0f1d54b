import { Effect, Option } from "effect"
import type { SqlClient, SqlConnection } from "effect/sql"

/** How often is looked whether work gets on, in milliseconds. */
const tickMillis = 250

/** The statements of a running transaction: how many are under way, and how many there ever were. */
interface Statements {
  underWay: number
  ever: number
}

/**
 * Runs work in the running transaction, and fails with `stuck` when it did nothing for `millis`: no statement was under
 * way, none began, and the work did not end. A statement has limits of its own, so a database that is slow stops no
 * work here; and time that the process itself did not run does not count.
 */
export const unlessStuck = <A, E, R, E2>(
  sql: SqlClient.SqlClient,
  work: Effect.Effect<A, E, R>,
  options: { readonly millis: number; readonly stuck: Effect.Effect<never, E2> },
): Effect.Effect<A, E | E2, R> =>
  Effect.flatMap(Effect.serviceOption(sql.transactionService), (running) => {
    if (Option.isNone(running)) return work
    const statements: Statements = { underWay: 0, ever: 0 }
    const counted = onConnection(running.value, (connection) => counting(connection, statements), work)
    return Effect.raceFirst(counted, Effect.andThen(idleFor(statements, options.millis), options.stuck))
  })

/**
 * Runs work on another connection in the running transaction. The transaction's own value changes and is no copy, for
 * `afterCommit` knows a transaction by the identity of this value, and takes a copy for none.
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

/** Ends once there was no statement for so many ticks in a row: ticks, for a process that was frozen has none. */
const idleFor = (statements: Statements, millis: number) =>
  Effect.gen(function* () {
    let seen = -1
    for (let ticks = 0; ticks * tickMillis < millis; ticks++) {
      yield* Effect.sleep(tickMillis)
      if (statements.underWay === 0 && statements.ever === seen) continue
      seen = statements.ever
      ticks = 0
    }
  })

/** The same connection, whose statements are counted. */
const counting = (connection: SqlConnection.Connection, statements: Statements): SqlConnection.Connection => {
  const during = <A, E, R>(statement: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      statements.underWay++
      statements.ever++
      return Effect.ensuring(
        statement,
        Effect.sync(() => void statements.underWay--),
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
