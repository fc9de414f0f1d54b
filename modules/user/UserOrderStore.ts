import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { fact } from "../../runtime/events/Event.ts"
import { Outbox } from "../../runtime/outbox/Outbox.ts"
import type { OrderSummary, UserOrder, UserOrderStatus } from "./contract/api.ts"
import { UserOrderSummaryUpdated } from "./contract/events.ts"

interface Placed {
  readonly order_id: number
  readonly user_id: number
  readonly amount: string
  readonly created_at: Date
}

interface Ended {
  readonly order_id: number
  readonly user_id: number
  readonly amount: string
  readonly status: Exclude<UserOrderStatus, "created">
}

interface Summary {
  readonly user_id: bigint
  readonly orders_count: bigint
  readonly total_amount: string
}

const summaryOf = (row: Summary): typeof OrderSummary.Type => ({
  user_id: Number(row.user_id),
  orders_count: Number(row.orders_count),
  total_amount: row.total_amount,
})

/** Number of orders in one step of a reset. */
const perReset = 1_000

/** The first entry of each order: a statement must not change a row twice. */
const firsts = (rows: ReadonlyArray<Placed | Ended>): string =>
  JSON.stringify([...new Map(rows.toReversed().map((row) => [row.order_id, row])).values()])

/**
 * The projections of users' orders and their summaries, updated only by the order module's events. An order is listed and
 * counted once its `order_created` has arrived; an earlier ending is stored until then.
 */
export class UserOrderStore extends Context.Service<UserOrderStore>()("user/UserOrderStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const outbox = yield* Outbox

    /** `changes` are rows (user_id, orders_count, total_amount) to be added to the summaries. */
    const summaries = (changes: ReturnType<typeof sql.literal>) => sql<Summary>`
      insert into user_order_summaries as s (user_id, orders_count, total_amount)
      select user_id, sum(orders_count), sum(total_amount) from (${changes}) as c (user_id, orders_count, total_amount)
      group by user_id order by user_id
      on conflict (user_id) do update set
        orders_count = s.orders_count + excluded.orders_count, total_amount = s.total_amount + excluded.total_amount
      returning user_id, orders_count, total_amount`

    const publish = (changed: ReadonlyArray<Summary>) =>
      Effect.asVoid(outbox.append(changed.map((row) => fact(UserOrderSummaryUpdated, summaryOf(row)))))

    const place = (orders: ReadonlyArray<Placed>) =>
      Effect.flatMap(
        Effect.orDie(sql<Summary>`
          with placed as (
            insert into user_orders as o (order_id, user_id, amount, status, created_at)
            select order_id, user_id, amount, 'created', created_at from json_to_recordset(${firsts(orders)}::json)
              as x (order_id bigint, user_id bigint, amount numeric, created_at timestamptz) order by order_id
            on conflict (order_id) do update set created_at = excluded.created_at where o.created_at is null
            returning user_id, amount, status)
          ${summaries(sql`select user_id, 1, amount from placed where status in ('created', 'processed')`)}`),
        publish,
      )

    const end = (orders: ReadonlyArray<Ended>) =>
      Effect.flatMap(
        Effect.orDie(sql<Summary>`
          with ended as (
            insert into user_orders as o (order_id, user_id, amount, status)
            select order_id, user_id, amount, status from json_to_recordset(${firsts(orders)}::json)
              as x (order_id bigint, user_id bigint, amount numeric, status text) order by order_id
            on conflict (order_id) do update set status = excluded.status where o.status = 'created'
            returning user_id, amount, status, created_at)
          ${summaries(sql`
            select user_id, -1, -amount from ended where status in ('failed', 'cancelled') and created_at is not null`)}`),
        publish,
      )

    /**
     * Resets some orders to not placed: they are neither listed nor counted until they are placed again. Returns whether
     * there may be more.
     */
    const unplaceSome = Effect.map(
      Effect.orDie(sql<{ rows: number }>`
        with open as (
          update user_orders set created_at = null where order_id in (
            select order_id from user_orders where created_at is not null limit ${perReset})
          returning user_id, amount, status),
        changed as (${summaries(sql`
          select user_id, -1, -amount from open where status in ('created', 'processed')`)})
        select count(*)::int as rows from open`),
      ([row]) => row!.rows === perReset,
    )

    /** Removes some endings of this kind: the orders are open again. Returns whether there may be more. */
    const unendSome = (status: Ended["status"]) =>
      Effect.map(
        Effect.orDie(sql<{ rows: number }>`
          with open as (
            update user_orders set status = 'created' where order_id in (
              select order_id from user_orders where status = ${status} limit ${perReset})
            returning user_id, amount, created_at),
          changed as (${summaries(sql`
            select user_id, 1, amount from open where ${status !== "processed"} and created_at is not null`)})
          select count(*)::int as rows from open`),
        ([row]) => row!.rows === perReset,
      )

    const newest = (user: number, before: string | undefined, limit: number) =>
      Effect.map(
        Effect.orDie(sql<{ order_id: bigint; amount: string; status: UserOrderStatus; created_at: Date }>`
          select order_id, amount, status, created_at from user_orders
          where user_id = ${user} and created_at is not null
            and (${before === undefined} or order_id < ${before ?? 0}::bigint)
          order by order_id desc limit ${limit}`),
        (rows) => rows.map((row): typeof UserOrder.Type => ({ ...row, order_id: Number(row.order_id) })),
      )

    const summary = (user: number) =>
      Effect.map(
        Effect.orDie(sql<Summary>`
          select user_id, orders_count, total_amount from user_order_summaries where user_id = ${user}`),
        ([row]) => (row === undefined ? { user_id: user, orders_count: 0, total_amount: "0.00" } : summaryOf(row)),
      )

    return { place, end, unplaceSome, unendSome, newest, summary }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
