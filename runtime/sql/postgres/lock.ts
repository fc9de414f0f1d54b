import { Effect, Schedule } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { randomInt } from "node:crypto"
import { clientOn } from "./client.ts"
import { openSession, type SessionOptions } from "./session.ts"

/** Tries to take an advisory lock; true when it was taken. */
type Take = (sql: SqlClient.SqlClient) => Effect.Effect<boolean, SqlError.SqlError>

/**
 * A session that holds an advisory lock, which is released with the session. Retries by the schedule `wait`; `taken` is
 * false when that has ended before the lock was free.
 *
 * The server ends the session of a frozen or unreachable holder 10 s after its last statement; a live one that has no other
 * statement sends a keep-alive within 4 s.
 */
const sessionWith = (options: SessionOptions, take: Take, wait: Schedule.Schedule<unknown>) =>
  Effect.gen(function* () {
    const session = yield* openSession({
      ...options,
      settings: { idle_session_timeout: "10000", ...options.settings },
    })
    const sql = yield* clientOn(options, session)
    const taken = yield* Effect.repeat(take(sql), { schedule: wait, until: (taken) => taken })
    let answered = session.answered
    const keepAlive = Effect.suspend(() => {
      // A busy session needs none, and a keep-alive behind a long statement would time out.
      const isBusy = session.pending > 0 || session.answered > answered
      answered = session.answered
      return isBusy ? Effect.void : Effect.asVoid(sql`select 1`)
    }).pipe(Effect.repeat(Schedule.spaced("2 seconds")))
    yield* Effect.forkScoped(Effect.withTracerEnabled(Effect.ignore(keepAlive), false))
    return { session, sql, taken }
  })

/** A session that one instance of a module has at a time, for the purpose `name`. */
export const lockedSession = (
  options: SessionOptions,
  name: string,
  wait: Schedule.Schedule<unknown> = Schedule.spaced("1 second"),
) => {
  const key = `galleria ${options.schema} ${name}`
  const take: Take = (sql) =>
    Effect.map(
      sql<{ taken: boolean }>`select pg_try_advisory_lock(hashtextextended(${key}, 0)) as taken`,
      ([row]) => row!.taken,
    )
  return sessionWith(options, take, wait)
}

/** The class of locks that stand for processes, each identified by a random number. */
const kind = 0x67616c6c
const self = randomInt(2 ** 31)

/** A session that one process has at a time in a database, whichever modules it runs. */
export const onlySession = (options: SessionOptions, wait: Schedule.Schedule<unknown>) => {
  const take: Take = (sql) =>
    Effect.gen(function* () {
      yield* sql`select pg_advisory_lock_shared(${kind}, ${self})`
      const others = yield* sql`
        select 1 from pg_locks join pg_database d on d.oid = database
        where datname = current_database() and locktype = 'advisory' and classid = ${kind}::oid and objsubid = 2
          and objid <> ${self}::oid`
      if (others.length > 0) yield* sql`select pg_advisory_unlock_shared(${kind}, ${self})`
      return others.length === 0
    })
  return sessionWith(options, take, Schedule.jittered(wait))
}
