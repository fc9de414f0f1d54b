import { Clock, Effect } from "effect"
import type { SqlClient } from "effect/sql"

/** One event for one reaction. Deliveries of one key keep their order; null: of no key, it holds back nothing. */
export interface DeliveryId {
  readonly reaction: string
  readonly source: string
  readonly event_id: string
  readonly key: string | null
}

const nameOf = ({ reaction, source, event_id }: Omit<DeliveryId, "key">) => JSON.stringify([reaction, source, event_id])

/** All statements on the table `inbox`, which has the deliveries that the module took charge of. */
export const inboxTable = (sql: SqlClient.SqlClient) => ({
  /**
   * Adds the deliveries that are not in the inbox yet and returns these, each once. Waits for a transaction that has the
   * same row in hand.
   */
  takeCharge: <D extends DeliveryId>(deliveries: ReadonlyArray<D>) =>
    Effect.gen(function* () {
      const now = new Date(yield* Clock.currentTimeMillis)
      const rows = deliveries.map(({ reaction, source, event_id }, n) => ({ n, reaction, source, event_id }))
      const taken = yield* sql<Omit<DeliveryId, "key">>`
        insert into inbox (reaction, source, event_id, taken_at)
        select reaction, source, event_id, ${now}
        from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, reaction text, source text, event_id text)
        order by n on conflict do nothing returning reaction, source, event_id`
      if (taken.length === deliveries.length) return deliveries
      const fresh = new Set(taken.map(nameOf))
      return deliveries.filter((delivery) => fresh.delete(nameOf(delivery)))
    }),

  /** Deletes at most `limit` rows of a reaction and returns how many. */
  removeOf: (reaction: string, limit: number) =>
    Effect.map(
      sql`
        delete from inbox where ctid in (
          select ctid from inbox where reaction = ${reaction} limit ${limit}) returning 1`,
      (rows) => rows.length,
    ),

  /**
   * Deletes old rows of the table's pages `from` up to `to`, without those that have a dead letter. Rows of a reaction in
   * `ages` are old when taken before its instant, those of other reactions before `others`. Returns how many pages the
   * table has. It goes by pages, because an index would lead over all rows that were deleted before.
   */
  removeOld: (
    pages: { readonly from: number; readonly to: number },
    ages: ReadonlyArray<{ readonly reaction: string; readonly before: Date | "-infinity" }>,
    others: Date,
  ) =>
    Effect.map(
      sql<{ pages: number }>`
        with known as materialized (
          select * from json_to_recordset(${JSON.stringify(ages)}::json) as k (reaction text, before timestamptz)),
        gone as (
          delete from inbox i where i.ctid >= ${`(${pages.from},0)`}::tid and i.ctid < ${`(${pages.to},0)`}::tid
            and i.taken_at < coalesce(
              (select k.before from known k where k.reaction = i.reaction), ${others}::timestamptz)
            and not exists (select from held h
              where h.reaction = i.reaction and h.source = i.source and h.event_id = i.event_id))
        select (pg_relation_size('inbox') / current_setting('block_size')::int)::int as pages`,
      ([row]) => row!.pages,
    ),
})
