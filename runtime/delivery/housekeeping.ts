import { Clock, Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { clockTolerance } from "../module/wallClock.ts"
import { keptMillis } from "../http/idempotencyTable.ts"
import type { EventType } from "../events/Event.ts"

/** Inbox rows outlive the log by this much (DELIVERY.md, *Forgetting*): whoever resends late is still recognised. */
const longerThanLog = Duration.days(30)

/** Rows in one statement, so that requests get their turn. */
const perStatement = 1_000

/** Whether the clocks of this process and of its database agree: nothing is deleted by an age that only one of them sees. */
export const clocksAgree = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ now: Date }>`select clock_timestamp() as now`
  const apart = Math.abs((yield* Clock.currentTimeMillis) - row!.now.getTime())
  if (apart <= clockTolerance) return true
  yield* Effect.logWarning(
    `The clock of the database differs by ${Math.round(apart / 1_000)} s; nothing is deleted by age`,
  )
  return false
})

/**
 * One turn of forgetting what nobody can ask for any more: inbox rows of events that the log has long forgotten, dead
 * letters that ended before that, and answers to requests of more than a day ago. Rows of topics that are kept for ever
 * stay, and so does the inbox row of a dead letter, for a copy of that must not take effect. Says whether there may be more.
 */
export const housekeepingTurn = (options: {
  readonly reactions: ReadonlyArray<{ readonly name: string; readonly event: EventType }>
  readonly retention: Duration.Duration
}) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const now = yield* Clock.currentTimeMillis
    const before = (age: Duration.Duration) => new Date(now - Duration.toMillis(age))
    const old = before(Duration.sum(options.retention, longerThanLog))
    const kept = JSON.stringify(
      options.reactions.filter(({ event }) => event.keptForever).map((reaction) => reaction.name),
    )
    const inbox = yield* sql`
      delete from inbox where ctid in (
        select i.ctid from inbox i where i.taken_at < ${old}
          and i.reaction not in (select json_array_elements_text(${kept}::json))
          and not exists (select from held h
            where h.reaction = i.reaction and h.source = i.source and h.event_id = i.event_id) limit ${perStatement})
      returning 1`
    const letters = yield* sql`
      delete from held where ctid in (
        select ctid from held where status in ('resolved', 'redriven', 'discarded') and last_failed_at < ${old}
        limit ${perStatement})
      returning 1`
    const answers = yield* sql`
      delete from idempotency where ctid in (
        select ctid from idempotency where created_at < ${before(Duration.millis(keptMillis))} limit ${perStatement})
      returning 1`
    return [inbox, letters, answers].some(({ length }) => length === perStatement)
  })
