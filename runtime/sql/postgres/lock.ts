import { Effect, Schedule } from "effect"
import { clientOn } from "./client.ts"
import { openSession, type SessionOptions } from "./session.ts"

/**
 * A session that holds an advisory lock of that name in the module's schema, taken as soon as nobody else has it: the
 * lock is gone when the session is. The server ends the session of a holder that is frozen or out of reach 10 s after
 * its last sign of life, and a living one gives a sign every 2 s. Say for how long the lock may be waited for.
 */
export const lockedSession = (
  options: SessionOptions,
  name: string,
  wait: Schedule.Schedule<unknown> = Schedule.spaced("1 second"),
) =>
  Effect.gen(function* () {
    const session = yield* openSession({
      ...options,
      settings: { idle_session_timeout: "10000", tcp_keepalives_idle: "5", ...options.settings },
    })
    const sql = yield* clientOn(options, session)
    const take = Effect.map(
      sql<{ taken: boolean }>`
        select pg_try_advisory_lock(hashtextextended(${`galleria ${options.schema} ${name}`}, 0)) as taken`,
      ([row]) => row!.taken,
    )
    const taken = yield* Effect.repeat(take, { schedule: wait, until: (taken) => taken })
    const sign = Effect.repeat(sql`select 1`, Schedule.spaced("2 seconds"))
    yield* Effect.forkScoped(Effect.withTracerEnabled(Effect.ignore(sign), false))
    return { session, sql, taken: taken === true }
  })
