import { isUtf8 } from "node:buffer"
import { Clock, Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import type { SqlClient } from "effect/sql"
import type { Partition, Received } from "../events/EventBus.ts"
import { type Attempt, causeOf, logged } from "./cause.ts"
import type { DeliveryId } from "./inboxTable.ts"
import { ofNoReaction, type Outcome } from "./outcome.ts"

/*
 * All statements on the table `held`, which has the dead letters, in groups by what uses them. The dead letters that are
 * open (`waiting`, `retrying`, `parked`) are the state of a key: there is no row for the key itself.
 */

/** A record's value inside JSON, byte by byte: as text where it is valid UTF-8. */
export interface StoredValue {
  readonly value: string
  readonly encoding?: "base64"
}

export const storedValueOf = (bytes: Uint8Array): StoredValue => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer) ? { value: buffer.toString() } : { value: buffer.toString("base64"), encoding: "base64" }
}

export const bytesOf = ({ value, encoding }: StoredValue): Buffer => Buffer.from(value, encoding ?? "utf8")

/** A record as the table has it. */
export interface StoredRecord extends Partition {
  readonly offset: bigint
  readonly event: StoredValue & Pick<Received, "key" | "headers" | "time">
}

/** The record of a row, as it was received. */
export const recordOf = ({ topic, partition, offset, event }: StoredRecord): Received => ({
  topic,
  partition,
  offset: Number(offset),
  key: event.key,
  headers: event.headers,
  time: event.time,
  value: bytesOf(event),
})

/** A delivery that becomes a dead letter. `event` is JSON text. */
export interface NewDeadLetter extends DeliveryId {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly event: string
  readonly outcome: Outcome
}

/** A dead letter that is open, as the retry worker locks it. */
export interface DeadLetterRow extends DeliveryId {
  readonly pos: bigint
  readonly id: string
  readonly status: "waiting" | "retrying" | "parked"
  readonly attempts: number
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly event: StoredValue & {
    readonly key: string | null
    readonly headers: Readonly<Record<string, string>>
    readonly time: number
  }
  readonly due: Date | null
  readonly first_failed_at: Date | null
  readonly redriven_at: Date | null
  readonly reason: string | null
  /** Since when each attempt has postponed it; null when the last attempt did not. */
  readonly postponed_at: Date | null
  readonly log: ReadonlyArray<Attempt> | null
}

/** How the consumer asks for held keys and adds dead letters. */
export const deadLetterQueue = (sql: SqlClient.SqlClient) => ({
  /** Asks which keys of the deliveries are held. Returns whether a delivery is of such a key. */
  heldKeys: <D extends DeliveryId>(deliveries: ReadonlyArray<D>) =>
    Effect.gen(function* () {
      const keys = new Map(deliveries.map(({ reaction, key }) => [`${reaction} ${key}`, { reaction, key }]))
      const rows = yield* sql<{ reaction: string; key: string }>`
        select distinct h.reaction, h.key
        from held h join json_to_recordset(${JSON.stringify([...keys.values()])}::json) as x (reaction text, key text)
          on h.reaction = x.reaction and h.key = x.key
        where h.status in ('waiting', 'retrying', 'parked')`
      const held = new Set(rows.map(({ reaction, key }) => `${reaction} ${key}`))
      return (delivery: D) => delivery.key !== null && held.has(`${delivery.reaction} ${delivery.key}`)
    }),

  /**
   * Adds dead letters, in the order given. One that exists stays as it is: its inbox row may be deleted before it is, and
   * a copy of its event must neither take effect nor stop its partition.
   */
  addDeadLetters: (deadLetters: ReadonlyArray<NewDeadLetter>) =>
    Effect.gen(function* () {
      if (deadLetters.length === 0) return
      const now = new Date(yield* Clock.currentTimeMillis)
      const rows = deadLetters.map(({ outcome, ...deadLetter }, n) => ({
        ...deadLetter,
        n,
        id: uuidV7Unsafe(),
        ...(outcome.status === "waiting"
          ? { status: "waiting", attempts: 0, due: now }
          : {
              ...outcome,
              failed: now,
              cause: causeOf({ ...deadLetter, ...outcome }),
              log: firstLog(outcome.error, now),
            }),
      }))
      yield* sql`
        insert into held (id, reaction, key, source, event_id, status, attempts, reason, error, topic, partition,
          "offset", event, due, first_failed_at, last_failed_at, created_at, cause, log)
        select id, reaction, key, source, event_id, status, attempts, reason, error, topic, partition,
          "offset", event::json, due, failed, failed, ${now}, cause, log
        from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, id text, reaction text, key text, source text,
          event_id text, status text, attempts int, reason text, error text, topic text, partition int,
          "offset" bigint, event text, due timestamptz, failed timestamptz, cause text, log json)
        order by n on conflict (reaction, source, event_id) do nothing`
    }),
})

const firstLog = (error: string, now: Date) => logged(null, { at: now.toISOString(), error, took_ms: null })

/** The last key of a part of the walk over all keys, and how many keys that part had. */
export interface Walked {
  readonly reaction: string
  readonly key: string
  readonly n: number
}

/** What a failed attempt changes. `due`: when the next attempt is; null: never by itself. */
export interface FailedAttempt extends Pick<DeadLetterRow, "status" | "attempts" | "due" | "postponed_at"> {
  readonly reason: string
  readonly error: string
}

/** How the retry worker takes dead letters and records what became of them. */
export const deadLetterWork = (sql: SqlClient.SqlClient) => ({
  /** When `lockFailed` or `lockReady` may find the next one; null: neither will. */
  nextDue: Effect.map(
    sql<{ due: Date | null }>`
      select least((select min(due) from held where status = 'retrying'),
        (select min(due) from held where status = 'waiting' and ready)) as due`,
    ([row]) => row!.due,
  ),

  /** Locks the first open dead letter of a key that failed and is due. */
  lockFailed: (now: Date) =>
    sql<DeadLetterRow>`
      select * from held h
      where status = 'retrying' and due <= ${now}
        and not exists (select from reset where reset.reaction = h.reaction) and not exists (
        select from held b where b.reaction = h.reaction and b.key = h.key and b.pos < h.pos
          and b.status in ('waiting', 'retrying', 'parked'))
      order by due, pos limit 1 for update of h skip locked`,

  /** Locks a dead letter that only waited and was marked ready when the one before it ended. */
  lockReady: (now: Date) =>
    sql<DeadLetterRow>`
      select * from held h where status = 'waiting' and ready and due <= ${now}
        and not exists (select from reset where reset.reaction = h.reaction)
      order by due, pos limit 1 for update of h skip locked`,

  /** Locks the next open dead letter of the same key. */
  lockNext: ({ reaction, key, pos }: DeadLetterRow) =>
    sql<DeadLetterRow>`
      select * from held
      where reaction = ${reaction} and key = ${key} and pos > ${pos} and status in ('waiting', 'retrying', 'parked')
      order by pos limit 1 for update`,

  markReady: ({ pos }: DeadLetterRow) => sql`update held set ready = true where pos = ${pos}`,

  /**
   * Marks dead letters as ready that only wait and are the first of their key, of at most `limit` keys after the one
   * given. What ends a dead letter marks the next one; this finds those that were queued at that very moment. It steps
   * from key to key, because very many may wait behind one.
   */
  markMissed: (after: Walked | undefined, limit: number) =>
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
        where queue.n < ${limit}),
      first as (
        select head.pos from queue, lateral (
          select pos, status, ready from held where reaction = queue.reaction and key = queue.key
            and status in ('waiting', 'retrying', 'parked') order by pos limit 1) head
        where head.status = 'waiting' and not head.ready),
      marked as (update held set ready = true from first where held.pos = first.pos)
      select reaction, key, n from queue order by n desc limit 1`,

  /** Ends a dead letter that took effect; one that only waited leaves no row. */
  succeed: ({ pos, status, redriven_at }: DeadLetterRow, now: Date) =>
    status === "waiting"
      ? sql`delete from held where pos = ${pos}`
      : sql`update held set status = ${redriven_at === null ? "resolved" : "redriven"}, due = null, ended_at = ${now}
          where pos = ${pos}`,

  /** Records an attempt that failed and took `millis`. */
  fail: (deadLetter: DeadLetterRow, failed: FailedAttempt, now: Date, millis: number) => {
    const { pos, reaction, topic } = deadLetter
    const { status, attempts, due, reason, error, postponed_at } = failed
    const log = logged(deadLetter.log, { at: now.toISOString(), error, took_ms: Math.round(millis) })
    return sql`
      update held set status = ${status}, attempts = ${attempts}, due = ${due}, reason = ${reason},
        error = ${error}, first_failed_at = coalesce(first_failed_at, ${now}), last_failed_at = ${now},
        postponed_at = ${postponed_at}, cause = ${causeOf({ reaction, topic, reason, error })},
        log = ${JSON.stringify(log)}::json
      where pos = ${pos}`
  },

  /** Delays the next attempt and counts none. */
  delay: ({ pos }: DeadLetterRow, due: Date) =>
    sql`update held set due = ${due} where pos = ${pos} and status in ('waiting', 'retrying')`,
})

/** Selects a row when a dead letter of the key is open in one of the reactions. */
export const openDeadLetter = (sql: SqlClient.SqlClient, key: string, reactions: ReadonlyArray<string>) =>
  sql`select 1 from held where status in ('waiting', 'retrying', 'parked') and key = ${key}
        and reaction in (select json_array_elements_text(${JSON.stringify(reactions)}::json))`

/** How resets and housekeeping remove dead letters. */
export const deadLetterRemoval = (sql: SqlClient.SqlClient) => ({
  /** Locks the open records of a topic that cannot be read; waits for a worker that holds one. */
  lockUnreadable: (topic: string) =>
    sql`
      select 1 from held where reaction = ${ofNoReaction} and topic = ${topic}
        and status in ('waiting', 'retrying', 'parked') order by pos for update`,

  /** Deletes at most `limit` dead letters of a reaction and returns how many. */
  removeOf: (reaction: string, limit: number) =>
    Effect.map(
      sql`
        delete from held where ctid in (
          select ctid from held where reaction = ${reaction} limit ${limit}) returning 1`,
      (rows) => rows.length,
    ),

  /** Deletes at most `limit` dead letters that ended before an instant and returns how many. */
  removeEnded: (before: Date, limit: number) =>
    Effect.map(
      sql`
        delete from held where ctid in (
          select ctid from held where status in ('resolved', 'redriven', 'discarded')
            and last_failed_at < ${before} limit ${limit})
        returning 1`,
      (rows) => rows.length,
    ),
})

/** Dead letters are not counted further. */
export const mostCounted = 10_000

/** How many dead letters have each open status, at most `mostCounted` of each. */
export const countOpenDeadLetters = (sql: SqlClient.SqlClient) =>
  sql<{ status: "waiting" | "retrying" | "parked"; events: number }>`
    select 'waiting' as status, count(*)::float8 as events from (
      select from held where status = 'waiting' limit ${mostCounted}) waiting
    union all select 'retrying', count(*) from (
      select from held where status = 'retrying' limit ${mostCounted}) retrying
    union all select 'parked', count(*) from (select from held where status = 'parked' limit ${mostCounted}) parked`

/** A dead letter as operators see it: those that only wait are counted with the one that they wait behind. */
export interface ListedDeadLetter {
  readonly id: string
  readonly reaction: string
  readonly status: "retrying" | "parked" | "resolved" | "redriven" | "discarded"
  readonly attempts: number
  readonly reason: string | null
  readonly error: string | null
  readonly event: StoredValue & {
    readonly id: string
    readonly type: string
    readonly source: string
    readonly key: string | null
    readonly headers: Readonly<Record<string, string>>
    readonly time: number
  }
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly waiting: bigint
  readonly first_failed_at: Date | null
  readonly last_failed_at: Date | null
  readonly next_attempt_at: Date | null
  readonly redriven_at: Date | null
  readonly ended_at: Date | null
  readonly cause: string | null
  readonly log: ReadonlyArray<Attempt> | null
  readonly original: (StoredValue & Pick<Received, "headers">) | null
}

/** Which dead letters an operator means. What is left out matches all; without `statuses`: `retrying` and `parked`. */
export interface Filter {
  readonly statuses?: ReadonlyArray<ListedDeadLetter["status"]>
  readonly reaction?: string
  readonly type?: string
  readonly cause?: string
  /** Only those that first failed until then. */
  readonly until?: Date
}

/** The conditions of a filter on the rows `h`. */
export const matching =
  (sql: SqlClient.SqlClient) =>
  ({ statuses = ["retrying", "parked"], reaction, type, cause, until }: Filter) => [
    sql`h.status in ${sql.in(statuses)}`,
    ...(cause === undefined ? [] : [sql`h.cause = ${cause}`]),
    ...(until === undefined ? [] : [sql`h.first_failed_at <= ${until}`]),
    ...(reaction === undefined ? [] : [sql`h.reaction = ${reaction}`]),
    ...(type === undefined ? [] : [sql`h.topic = ${type}`]),
  ]

/** An open dead letter that is redriven with other data. */
interface EditedRow extends StoredRecord {
  readonly pos: bigint
  readonly reaction: string
}

/** How operators list dead letters and end or redrive them. Each change waits for the worker that has the row locked. */
export const deadLetterOperations = (sql: SqlClient.SqlClient) => {
  const select = (where: ReturnType<typeof sql.and>, limit: number) =>
    sql<ListedDeadLetter>`
      select h.id, h.reaction, h.status, h.attempts, h.reason, h.error, h.event, h.topic, h.partition, h."offset",
        (select count(*) from (
          select from held w where w.reaction = h.reaction and w.key = h.key and w.pos > h.pos
            and w.status in ('waiting', 'retrying', 'parked')
            and h.status in ('retrying', 'parked') limit ${mostCounted}) behind) as waiting,
        h.first_failed_at, h.last_failed_at, h.due as next_attempt_at, h.redriven_at, h.ended_at, h.cause, h.log,
        h.original
      from held h where ${where} order by h.id desc limit ${limit}`

  return {
    /** Newest first, from before the id given. */
    list: (filter: Filter, before: string | undefined, limit: number) =>
      select(sql.and([...matching(sql)(filter), ...(before === undefined ? [] : [sql`h.id < ${before}`])]), limit),

    find: (id: string) => select(sql.and([sql`h.id = ${id}`, sql`h.status <> 'waiting'`]), 1),

    redrive: (id: string, now: Date) =>
      sql`
        update held set status = 'retrying', attempts = 0, due = ${now}, redriven_at = ${now}
        where id = ${id} and status in ('retrying', 'parked') returning pos`,

    /** Locks an open dead letter. */
    lockOpen: (id: string) =>
      sql<EditedRow>`
        select pos, reaction, topic, partition, "offset", event from held
        where id = ${id} and status in ('retrying', 'parked') for update`,

    /** Redrives a locked dead letter with another record; the first one is kept. */
    redriveWith: ({ pos, event }: EditedRow, { headers, value }: Pick<Received, "headers" | "value">, now: Date) => {
      const { encoding: _encoding, ...rest } = event
      const edited = { ...rest, headers, ...storedValueOf(value!) }
      return sql`
        update held set status = 'retrying', attempts = 0, due = ${now}, redriven_at = ${now},
          original = coalesce(original, event), event = ${JSON.stringify(edited)}::json
        where pos = ${pos}`
    },

    /** Ends a dead letter without effect and marks the next of its key. */
    discard: (id: string, now: Date) =>
      sql`
        with ended as (
          update held set status = 'discarded', due = null, ended_at = ${now}
          where id = ${id} and status in ('retrying', 'parked') returning pos, reaction, key),
        marked as (
          update held set ready = true from ended
          where held.pos = (select h.pos from held h where h.reaction = ended.reaction and h.key = ended.key
              and h.pos > ended.pos and h.status in ('waiting', 'retrying', 'parked') order by h.pos limit 1)
            and held.status = 'waiting')
        select pos from ended`,
  }
}
