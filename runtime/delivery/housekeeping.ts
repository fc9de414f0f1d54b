import { Clock, Duration, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { clockTolerance } from "../loop/wallClock.ts"
import { keptMillis } from "../http/edge/idempotencyTable.ts"
import type { EventType } from "../events/Event.ts"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"

/** Inbox rows outlive the log by this much (DELIVERY.md, *Forgetting*): what is sent again late is still recognised. */
const longerThanLog = Duration.days(30)

/** Rows, or pages with some tens of rows, in one statement, so that requests get their turn. */
const perStatement = { rows: 1_000, pages: 20 }

/** How often the whole inbox is looked through: its rows are kept for months. */
const sweepEvery = Duration.hours(6)

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
 * How long the inbox keeps rows of each reaction: longer than the log keeps the records of its topic, by the longer of
 * what is wanted and what is set in the log (DELIVERY.md, *Forgetting*). Undefined: for ever, and in a sweep that begins
 * while the log does not answer.
 */
const memoryOf = (reactions: Reactions, retention: RetentionOf) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const found = yield* Effect.option(bus.retentions(reactions.map(({ event }) => event.type)))
    if (Option.isNone(found)) return () => undefined
    const set = new Map(found.value.map((one) => [one.topic, one.retention]))
    return (event: EventType) => {
      const wanted = retention(event)
      const actual = set.has(event.type) ? set.get(event.type) : wanted
      return wanted === undefined || actual === undefined
        ? undefined
        : Duration.sum(Duration.max(wanted, actual), longerThanLog)
    }
  })

type Reactions = ReadonlyArray<Pick<Reaction<never>, "name" | "event">>

type RetentionOf = (event: EventType) => Duration.Duration | undefined

/** How long dead letters are kept after they ended, and inbox rows of reactions that exist no more. */
const endedFor = Duration.days(60)

/**
 * One turn of forgetting what cannot be asked for any more: inbox rows of events that the log has long forgotten, dead
 * letters that ended before that, and answers to requests of more than a day ago. Rows of topics that are kept for ever
 * stay, and so does the inbox row of a dead letter, for a copy of that must not take effect. Says whether there may be more.
 */
export const housekeepingTurn = (options: { readonly reactions: Reactions; readonly retention: RetentionOf }) => {
  /** Where the sweep of the inbox is, how long it keeps rows, and when the last one ended. */
  let page = 0
  let memory: (event: EventType) => Duration.Duration | undefined
  let sweptAt = Number.NEGATIVE_INFINITY
  /** The time of the last answer that was deleted: an index would lead over all before it. */
  let answeredAt = new Date(0)
  return Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const now = yield* Clock.currentTimeMillis
    const before = (age: Duration.Duration) => new Date(now - Duration.toMillis(age))
    const sweep = Effect.gen(function* () {
      if (now - sweptAt < Duration.toMillis(sweepEvery)) return false
      if (page === 0) memory = yield* memoryOf(options.reactions, options.retention)
      const known = options.reactions.map(({ name, event }) => {
        const age = memory(event)
        return { reaction: name, before: age === undefined ? "-infinity" : before(age) }
      })
      // By pages, from one turn to the next: an index would lead over all that was deleted before.
      const to = page + perStatement.pages
      const [inbox] = yield* sql<{ pages: number }>`
        with known as materialized (
          select * from json_to_recordset(${JSON.stringify(known)}::json) as k (reaction text, before timestamptz)),
        gone as (
          delete from inbox i where i.ctid >= ${`(${page},0)`}::tid and i.ctid < ${`(${to},0)`}::tid
            and i.taken_at < coalesce(
              (select k.before from known k where k.reaction = i.reaction), ${before(endedFor)}::timestamptz)
            and not exists (select from held h
              where h.reaction = i.reaction and h.source = i.source and h.event_id = i.event_id))
        select (pg_relation_size('inbox') / current_setting('block_size')::int)::int as pages`
      const isOver = to >= inbox!.pages
      page = isOver ? 0 : to
      if (isOver) sweptAt = now
      return !isOver
    })
    const letters = yield* sql`
      delete from held where ctid in (
        select ctid from held where status in ('resolved', 'redriven', 'discarded')
          and last_failed_at < ${before(endedFor)} limit ${perStatement.rows})
      returning 1`
    const answers = yield* sql<{ created_at: Date }>`
      delete from idempotency where ctid in (
        select ctid from idempotency
        where created_at >= ${answeredAt} and created_at < ${before(Duration.millis(keptMillis))}
        order by created_at limit ${perStatement.rows})
      returning created_at`
    for (const { created_at } of answers) if (created_at > answeredAt) answeredAt = created_at
    if (letters.length === perStatement.rows || answers.length === perStatement.rows) return true
    // After the dead letters, whose inbox rows stay as long as they do.
    return yield* sweep
  })
}
