import { Clock, Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { keptMillis } from "../http/idempotencyTable.ts"
import type { EventType } from "../events/Event.ts"

/** Inbox rows outlive the log by this much (DELIVERY.md, *Forgetting*): whoever resends late is still recognised. */
const longerThanLog = Duration.days(30)

/** Rows in one statement, so that requests get their turn. */
const perStatement = 1_000

/**
 * One turn of forgetting what nobody can ask for any more: inbox rows of events that the log has long forgotten, dead
 * letters that ended before that, and answers to requests of more than a day ago. Rows of topics that are kept for ever
 * stay. Says whether there may be more.
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
        select ctid from inbox where taken_at < ${old}
          and reaction not in (select json_array_elements_text(${kept}::json)) limit ${perStatement})
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
