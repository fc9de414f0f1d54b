import { Effect, Schedule } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { randomInt } from "node:crypto"
import { clientOn } from "./client.ts"
import { openSession, type SessionOptions } from "./session.ts"

/** Tries to take an advisory lock, and says whether it has it. */
type Take = (sql: SqlClient.SqlClient) => Effect.Effect<boolean, SqlError.SqlError>

/**
 * A session that holds an advisory lock, which is gone when the session is. Tries again by `wait` until nobody else has
 * it; `taken` is false when that has come to its end before.
 *
 * The server ends the session of a holder that is frozen or out of reach 10 s after its last sign of life, and a living
 * one gives a sign every 2 s.
 */
const sessionWith = (options: SessionOptions, take: Take, wait: Schedule.Schedule<unknown>) =>
  Effect.gen(function* () {
    const session = yield* openSession({
      ...options,
      settings: { idle_session_timeout: "10000", ...options.settings },
    })
    const sql = yield* clientOn(options, session)
    const taken = yield* Effect.repeat(take(sql), { schedule: wait, until: (taken) => taken })
    // Whoever is busy is alive, and a sign that waits behind a long statement would be taken for unanswered.
    const sign = Effect.suspend(() => (session.asked > 0 ? Effect.void : Effect.asVoid(sql`select 1`))).pipe(
      Effect.repeat(Schedule.spaced("2 seconds")),
    )
    yield* Effect.forkScoped(Effect.withTracerEnabled(Effect.ignore(sign), false))
    return { session, sql, taken }
  })

/** A session that one instance of a module has at a time, for what `name` says. */
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

/** Locks of this kind stand for processes, which are told apart by a number. */
const kind = 0x67616c6c
const self = randomInt(2 ** 31)

/** A session that is there as long as no other process has one in the same database, whichever modules it runs. */
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
