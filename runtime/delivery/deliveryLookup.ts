import type { SqlClient } from "effect/sql"
import type { StoredRecord } from "./deadLetterTable.ts"

/*
 * What the console reads about deliveries: each by the unique keys of `inbox`, `held` and `position`, so the time does not
 * depend on how many there are.
 */

/** An event for a reaction. Partition and offset are null when its place on the log is not known. */
export interface Sought {
  readonly reaction: string
  readonly source: string
  readonly event_id: string
  readonly topic: string
  readonly partition: number | null
  readonly offset: number | null
}

export interface LookedUp {
  readonly reaction: string
  readonly event_id: string
  readonly taken_at: Date | null
  readonly id: string | null
  readonly status: "waiting" | "retrying" | "parked" | "resolved" | "redriven" | "discarded" | null
  readonly attempts: number | null
  readonly created_at: Date | null
  readonly last_failed_at: Date | null
  /** Whether the position of the reaction is beyond the event; null when its place is not known. */
  readonly passed: boolean | null
}

/** What the module has about these deliveries, one row for each. */
export const lookUpDeliveries = (sql: SqlClient.SqlClient, sought: ReadonlyArray<Sought>) =>
  sql<LookedUp>`
    select x.reaction, x.event_id, i.taken_at, h.id, h.status, h.attempts, h.created_at, h.last_failed_at,
      case when x."offset" is not null then coalesce(p.next, 0) > x."offset" end as passed
    from json_to_recordset(${JSON.stringify(sought.map((one, n) => ({ n, ...one })))}::json) as x (n int,
      reaction text, source text, event_id text, topic text, partition int, "offset" bigint)
    left join inbox i on i.reaction = x.reaction and i.source = x.source and i.event_id = x.event_id
    left join held h on h.reaction = x.reaction and h.source = x.source and h.event_id = x.event_id
    left join position p on p.reaction = x.reaction and p.topic = x.topic and p.partition = x.partition
    order by x.n`

/** An open dead letter, with its record. */
export interface OpenRecord extends StoredRecord {
  readonly source: string
  readonly event_id: string
}

/** Open dead letters of a key in one reaction that are looked at. */
const mostOpen = 50

/** The first open dead letters of these keys in these reactions. */
export const openOfKeys = (
  sql: SqlClient.SqlClient,
  keys: ReadonlyArray<{ readonly reaction: string; readonly key: string }>,
) =>
  sql<OpenRecord>`
    select h.topic, h.partition, h."offset", h.source, h.event_id, h.event
    from json_to_recordset(${JSON.stringify(keys)}::json) as x (reaction text, key text), lateral (
      select * from held where reaction = x.reaction and key = x.key and status in ('waiting', 'retrying', 'parked')
      order by pos limit ${mostOpen}) h
    order by h.pos`
