import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { type Journey, mostWaiting } from "../../runtime/module/Journey.ts"
import type { OrderStatus } from "./contract/api.ts"

interface Row {
  readonly user_id: bigint
  readonly status: OrderStatus
  readonly amount: string
  readonly created_at: Date
}

interface Past {
  readonly event_id: string
  readonly type: string
  readonly occurred_at: Date
  readonly data: unknown
}

interface Stale {
  readonly module: string
  readonly count: number
  readonly oldest_at: Date
  readonly sample: ReadonlyArray<string>
}

/** Entries of a history that a journey shows. */
const mostPast = 200

/** An order that is not over after this time should be further (ms). */
const staleMillis = 60_000

export const journey = Effect.map(SqlClient.SqlClient, (sql): Journey => ({
  of: (order_id) =>
    Effect.gen(function* () {
      const [row] = yield* sql<Row>`select user_id, status, amount, created_at from orders where id = ${order_id}`
      if (row === undefined) return undefined
      const past = yield* sql<Past>`
        select event_id, type, occurred_at, data from order_history
        where order_id = ${order_id} order by pos limit ${mostPast}`
      const { user_id, ...order } = row
      return {
        user_id: Number(user_id),
        order,
        history: past.map(({ event_id: id, type, occurred_at: time, data }) => ({ id, type, time, data })),
      }
    }).pipe(Effect.orDie),

  // Each status is read by its index, the oldest first: what is not over is far less than what is.
  waits: (now) =>
    Effect.map(
      Effect.orDie(sql<Stale>`
        with open as (
          (select id, steps, done, created_at from orders where status = 'created' order by id limit ${mostWaiting})
          union all
          (select id, steps, done, created_at from orders where status = 'paid' order by id limit ${mostWaiting})),
        stale as (
          select id, created_at, case
            when steps::jsonb ? 'payment' and not done::jsonb ? 'payment' then 'payment'
            when steps::jsonb ? 'inventory' and not done::jsonb ? 'inventory' then 'inventory'
            else 'order' end as module
          from open where created_at < ${new Date(now.getTime() - staleMillis)})
        select module, least(count(*), ${mostWaiting})::int as count, min(created_at) as oldest_at,
          to_json((array_agg(id::text order by id))[1:5]) as sample
        from stale group by module order by module`),
      (rows) => rows.map((row) => ({ ...row, why: "they were placed more than a minute ago and are not processed" })),
    ),

  find: (id) =>
    Effect.map(Effect.orDie(sql`select 1 from orders where id = ${id}`), (rows) => rows.map(() => "order" as const)),
}))
