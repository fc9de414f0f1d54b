import { Clock, Duration, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { clockTolerance } from "../loop/wallClock.ts"
import { keptMillis, removeAnswers } from "../http/edge/idempotencyTable.ts"
import type { EventType } from "../events/Event.ts"
import { EventBus } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { deadLetterRemoval } from "./deadLetterTable.ts"
import { inboxTable } from "./inboxTable.ts"

/** Inbox rows outlive the log by this much (DELIVERY.md, *Forgetting*): a late copy is still recognised. */
const longerThanLog = Duration.days(30)

/** Rows, or pages with some tens of rows, in one statement, so that requests get their turn. */
const perStatement = { rows: 1_000, pages: 20 }

/** How often the whole inbox is swept: its rows are kept for months. */
const sweepEvery = Duration.hours(6)

/** Whether the clocks of this process and of its database agree. Deletions by age rely on both. */
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
 * How long the inbox keeps the rows of each reaction: longer than the log keeps the records of its topic, where the longer
 * of the wanted and the actual retention counts (DELIVERY.md, *Forgetting*). Undefined: for ever, as for all reactions
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

/** How long dead letters are kept after they ended, and inbox rows of reactions that were removed. */
const endedFor = Duration.days(60)

/**
 * One turn of deleting what is needed no more: inbox rows of events that the log has long pruned, dead letters that ended
 * long ago, and answers to requests of more than a day ago. Rows of topics that are kept for ever stay, and so does the
 * inbox row of a dead letter, because a copy of its event must not take effect. Returns whether there may be more.
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
      const ages = options.reactions.map(({ name, event }) => {
        const age = memory(event)
        return { reaction: name, before: age === undefined ? ("-infinity" as const) : before(age) }
      })
      const to = page + perStatement.pages
      const isOver = to >= (yield* inboxTable(sql).removeOld({ from: page, to }, ages, before(endedFor)))
      page = isOver ? 0 : to
      if (isOver) sweptAt = now
      return !isOver
    })
    const removed = yield* deadLetterRemoval(sql).removeEnded(before(endedFor), perStatement.rows)
    const answers = yield* removeAnswers(sql, answeredAt, before(Duration.millis(keptMillis)), perStatement.rows)
    for (const { created_at } of answers) if (created_at > answeredAt) answeredAt = created_at
    if (removed === perStatement.rows || answers.length === perStatement.rows) return true
    // After the dead letters, whose inbox rows stay as long as they do.
    return yield* sweep
  })
}
