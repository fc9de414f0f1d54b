import { Cause, Clock, Effect, Exit } from "effect"
import { SqlClient } from "effect/sql"
import { bytesOf, inbox, type KeptValue, type Outcome } from "./inbox.ts"
import type { Reaction } from "../module/Reaction.ts"
import { monotonicMillis } from "../loop/monotonic.ts"
import { defaultRetry, delayAfter } from "../loop/schedule.ts"
import { Database } from "../sql/Database.ts"
import { placeOfRecord } from "../telemetry/messages.ts"
import * as metrics from "../telemetry/metrics.ts"
import { loggedAt } from "../telemetry/trace.ts"
import { attempt, takeAlone } from "./attempt.ts"
import { deliveriesOf, type Delivery } from "./Delivery.ts"
import { ofNoReaction } from "./outcome.ts"

/** Events of one key in one turn: a busy key must drain faster than it fills, or it never leaves the slow path. */
const perTurn = 50

/** A turn that took this long ends, so that others get theirs: an embedded database has but one session. */
const longTurnMillis = 50

/** A record that can be no event is tried again after this while a reaction to its topic is being reset. */
const resetMillis = 1_000

/** How often entries are looked for that became the first of their key and were not marked, in milliseconds. */
const markEveryMillis = 60_000

/** An event that was postponed each time, since it first was or was redriven, is parked after this. */
const mostPostponedMillis = 24 * 60 * 60 * 1_000

/** What this release has no reaction for is looked at again after this: the next one may have it. */
const unknownReactionMillis = 60_000

/** More of them are not remembered; without one an entry is tried again sooner. */
const mostImpossible = 1_000

/** Keys that one turn looks at for entries that were not marked. */
const keysPerWalk = 500

/** The key that such a look ended with, and how many it was. */
interface Walked {
  readonly reaction: string
  readonly key: string
  readonly n: number
}

interface Entry {
  readonly pos: bigint
  readonly id: string
  readonly reaction: string
  readonly key: string | null
  readonly source: string
  readonly event_id: string
  readonly status: "waiting" | "retrying" | "parked"
  readonly attempts: number
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly event: KeptValue & {
    readonly key: string | null
    readonly headers: Readonly<Record<string, string>>
    readonly time: number
  }
  readonly due: Date | null
  readonly first_failed_at: Date | null
  readonly redriven_at: Date | null
  readonly reason: string | null
  /** Since when each attempt has postponed it; null when the last one did not. */
  readonly postponed_at: Date | null
}

type Failure = Exclude<Outcome, { readonly status: "waiting" }>

/**
 * The worker that tries again what stepped aside (DELIVERY.md, *Taking charge*), by any number of instances: it locks the first open
 * entry of a key that is due, runs its reaction in a savepoint, and goes on with the next of the key while that goes
 * well. What the reactions did and what became of their entries commit together.
 *
 * A fault of the infrastructure undoes the turn. When the database answers all the same, it is the entry's statement
 * that cannot be done now: it waits longer, uncounted, and lets other keys go on.
 */
export const makeRetryTurn = (options: {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
}) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database

    /** The first open entry of a key, that failed and is due. */
    const failedDue = (now: Date) =>
      sql<Entry>`
        select * from held h
        where status = 'retrying' and due <= ${now}
          and not exists (select from reset where reset.reaction = h.reaction) and not exists (
          select from held b where b.reaction = h.reaction and b.key = h.key and b.pos < h.pos
            and b.status in ('waiting', 'retrying', 'parked'))
        order by due, pos limit 1 for update of h skip locked`

    /** An entry that only waited, and was marked when what was in front of it ended. */
    const readyFirst = (now: Date) =>
      sql<Entry>`
        select * from held h where status = 'waiting' and ready and due <= ${now}
          and not exists (select from reset where reset.reaction = h.reaction)
        order by due, pos limit 1 for update of h skip locked`

    /**
     * Marks entries that only wait and are the first of their key, of some keys behind the one given. What ends an entry
     * marks the next one; this finds those that were queued at that very moment. Steps from key to key, for behind one
     * entry there may be very many.
     */
    const markSome = (after: Walked | undefined) =>
      sql<Walked>`
        with recursive queue as (
          (select reaction, key, 1 as n from held
            where status = 'waiting' and (reaction, key) > (${after?.reaction ?? ""}, ${after?.key ?? ""})
            order by reaction, key limit 1)
          union all
          select next.reaction, next.key, queue.n + 1 from queue, lateral (
            select reaction, key from held
            where status = 'waiting' and (reaction, key) > (queue.reaction, queue.key)
            order by reaction, key limit 1) next
          where queue.n < ${keysPerWalk}),
        first as (
          select head.pos from queue, lateral (
            select pos, status, ready from held where reaction = queue.reaction and key = queue.key
              and status in ('waiting', 'retrying', 'parked') order by pos limit 1) head
          where head.status = 'waiting' and not head.ready),
        marked as (update held set ready = true from first where held.pos = first.pos)
        select reaction, key, n from queue order by n desc limit 1`

    let walked: Walked | undefined
    let walkAt = Number.NEGATIVE_INFINITY
    /** A part of the walk over all keys in each turn, while one is under way; a new one begins each minute. */
    const walk = Effect.gen(function* () {
      const now = yield* monotonicMillis
      if (now < walkAt) return
      const [last] = yield* markSome(walked)
      walked = last?.n === keysPerWalk ? last : undefined
      if (walked === undefined) walkAt = now + markEveryMillis
    })

    /** How often in a row an entry could not be tried, though the database answered. */
    const impossible = new Map<bigint, number>()

    let turns = 0
    /** Both kinds have their turn, whichever there are many of. */
    const headDue = (now: Date) =>
      Effect.gen(function* () {
        const [one, other] = ++turns % 16 === 0 ? [readyFirst, failedDue] : [failedDue, readyFirst]
        const found = yield* one(now)
        return found.length > 0 ? found : yield* other(now)
      })

    const nextOf = ({ reaction, key, pos }: Entry) =>
      sql<Entry>`
        select * from held
        where reaction = ${reaction} and key = ${key} and pos > ${pos} and status in ('waiting', 'retrying', 'parked')
        order by pos limit 1 for update`

    const succeed = (entry: Entry) =>
      entry.status === "waiting"
        ? sql`delete from held where pos = ${entry.pos}`
        : sql`update held set status = ${entry.redriven_at === null ? "resolved" : "redriven"}, due = null
            where pos = ${entry.pos}`

    const fail = (entry: Entry, outcome: Failure) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        const postponed = outcome.reason === "postponed" ? postponedSince(entry, now) : null
        const { status, attempts, due } = yield* verdictOn(entry, outcome, now, postponed)
        yield* sql`
          update held set status = ${status}, attempts = ${attempts}, due = ${due}, reason = ${outcome.reason},
            error = ${outcome.error}, first_failed_at = coalesce(first_failed_at, ${now}), last_failed_at = ${now},
            postponed_at = ${postponed}
          where pos = ${entry.pos}`
        if (status === "parked") yield* tell("warn", entry, `is parked after ${attempts} attempts (${outcome.reason})`)
      })

    /** The schedule of the reaction, and what the outcome says by itself. */
    const verdictOn = (entry: Entry, outcome: Failure, now: Date, postponed: Date | null) =>
      Effect.gen(function* () {
        const attempts = entry.attempts + outcome.attempts
        const parked = { status: "parked", attempts, due: null }
        if (outcome.status === "parked") return parked
        if (outcome.attempts === 0) {
          const tooLong = postponed !== null && now.getTime() - postponed.getTime() >= mostPostponedMillis
          return tooLong ? parked : { status: "retrying", attempts, due: outcome.due }
        }
        const schedule = options.reactions.find(({ name }) => name === entry.reaction)?.retry ?? defaultRetry
        const delay = yield* delayAfter(schedule, attempts)
        return delay === undefined ? parked : { status: "retrying", attempts, due: new Date(now.getTime() + delay) }
      })

    const tell = (level: "info" | "warn", entry: Entry, what: string) =>
      (level === "warn" ? Effect.logWarning : Effect.logInfo)(`${entry.reaction}: an event ${what}`).pipe(
        Effect.annotateLogs({ module: options.module, dead_letter: entry.id, event_id: entry.event_id }),
        loggedAt(placeOfRecord(entry.event)),
      )

    /** Undefined when it took effect. */
    const tryAgain = (entry: Entry) =>
      Effect.gen(function* () {
        const deliveries = yield* deliveriesOf(recordOf(entry), options.reactions)
        if (entry.reaction === ofNoReaction) {
          // Asked once the entry is locked: a reset of a reaction to its topic waits for that lock, or is seen here.
          const resets = yield* sql`select 1 from reset where topic = ${entry.topic} limit 1`
          if (resets.length === 0) return yield* takeForAll(deliveries)
          const due = new Date((yield* Clock.currentTimeMillis) + resetMillis)
          return { status: "retrying", attempts: 0, reason: "malformed", error: "", due } satisfies Failure
        }
        const delivery = deliveries.find(({ reaction }) => reaction === entry.reaction)
        if (delivery !== undefined) return yield* attempt(sql, delivery)
        const due = new Date((yield* Clock.currentTimeMillis) + unknownReactionMillis)
        const error = `this release has no reaction ${entry.reaction}`
        return { status: "retrying", attempts: 0, reason: "newer-version", error, due } satisfies Failure
      })

    /** A record that could not be read: still not, or by now an event like any other. */
    const takeForAll = (deliveries: ReadonlyArray<Delivery>) =>
      Effect.gen(function* () {
        const [first] = deliveries
        if (first?.reaction === ofNoReaction) return first.outcome
        for (const delivery of deliveries) yield* takeAlone(sql, inbox(sql), delivery)
        return undefined
      })

    /** Says whether the entry took effect. */
    const handle = (entry: Entry) =>
      Effect.gen(function* () {
        const outcome = yield* tryAgain(entry)
        if (outcome !== undefined && outcome.status !== "waiting") {
          yield* fail(entry, outcome)
          return false
        }
        yield* succeed(entry)
        if (entry.status !== "waiting")
          yield* tell("info", entry, `took effect after ${entry.attempts} failed attempts`)
        return true
      })

    return Effect.gen(function* () {
      yield* database.writable
      yield* walk
      let current: Entry | undefined
      const applied: Array<Entry> = []
      const exit = yield* Effect.exit(
        database.transaction(
          Effect.gen(function* () {
            const now = new Date(yield* Clock.currentTimeMillis)
            const [head] = yield* headDue(now)
            current = head
            for (let n = 0; n < perTurn && current !== undefined; n++) {
              const entry: Entry = current
              if (!(yield* handle(entry))) break
              applied.push(entry)
              const [next] = entry.key === null ? [] : yield* nextOf(entry)
              if (next?.status === "waiting") yield* sql`update held set ready = true where pos = ${next.pos}`
              if ((yield* Clock.currentTimeMillis) - now.getTime() >= longTurnMillis) break
              current = next !== undefined && next.due !== null && next.due <= now ? next : undefined
            }
            return head !== undefined
          }),
        ),
      )
      if (Exit.isSuccess(exit)) {
        if (current !== undefined) impossible.delete(current.pos)
        for (const { pos, reaction } of applied) {
          impossible.delete(pos)
          yield* metrics.applied({ module: options.module, reaction }, 1)
        }
        return exit.value
      }
      yield* Effect.mapError(database.probe, () => Cause.squash(exit.cause))
      if (current === undefined) return yield* Effect.failCause(exit.cause)
      const { pos } = current
      const times = (impossible.get(pos) ?? 0) + 1
      if (impossible.size >= mostImpossible) impossible.clear()
      impossible.set(pos, times)
      const delay = (yield* delayAfter(defaultRetry, times)) ?? unknownReactionMillis
      const due = new Date((yield* Clock.currentTimeMillis) + delay)
      yield* sql`update held set due = ${due} where pos = ${pos} and status in ('waiting', 'retrying')`
      return true
    })
  })

/** An entry that the consumer set aside as postponed has no time of its own for that. */
const postponedSince = ({ reason, postponed_at, first_failed_at, redriven_at }: Entry, now: Date): Date => {
  const since = (reason === "postponed" ? (postponed_at ?? first_failed_at) : null) ?? now
  return redriven_at !== null && redriven_at > since ? redriven_at : since
}

const recordOf = ({ topic, partition, offset, event }: Entry) => ({
  topic,
  partition,
  offset: Number(offset),
  key: event.key,
  headers: event.headers,
  time: event.time,
  value: bytesOf(event),
})
