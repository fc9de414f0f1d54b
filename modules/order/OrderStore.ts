import { BigDecimal, Clock, Context, Effect, Layer, Result } from "effect"
import { SqlClient } from "effect/sql"
import type { Fact } from "../../runtime/events/Event.ts"
import { type Answered, type Claim, Idempotency } from "../../runtime/http/Idempotency.ts"
import { type EventDraft, Outbox } from "../../runtime/outbox/Outbox.ts"
import { Database } from "../../runtime/sql/Database.ts"
import { format, type Money } from "../Money.ts"
import { type HistoryEntry, type Order as OrderView, OrderNotFound, type OrderStatus } from "./contract/api.ts"
import { OrderCreated, type Step } from "./contract/events.ts"
import type { Decision, Order } from "./Order.ts"

/** An order to be placed. */
export interface Placement {
  readonly user_id: number
  readonly amount: Money
  readonly items: ReadonlyArray<{
    readonly product_id: string
    readonly product_name: string
    readonly quantity: number
    readonly price: Money
  }>
  readonly payment_method: string
  readonly steps: ReadonlyArray<Step>
}

/** The result of a placement. */
export type Placed =
  | { readonly _tag: "Placed"; readonly answered: Answered<OrderView> }
  | { readonly _tag: "UserUnknown" }
  | { readonly _tag: "KeyTaken" }

/** An event about an order, for its history. `data` is JSON text, as received or as appended. */
export type Learned = Pick<EventDraft, "event_id" | "type" | "time" | "data">

/** One decision about one order, and the event that caused it. */
export interface Change<E> {
  readonly order_id: number
  readonly decide: (order: Order) => Result.Result<Decision, E>
  readonly learned?: Learned
  /** A missing order is skipped; without this it fails the whole batch. */
  readonly passesOver?: true
}

interface Row {
  readonly id: bigint
  readonly user_id: bigint
  readonly amount: string
  readonly status: OrderStatus
  readonly reason: string | null
  readonly items: OrderView["items"]
  readonly steps: ReadonlyArray<Step>
  readonly done: ReadonlyArray<Step>
  readonly created_at: Date
}

const orderOf = (row: Row): Order => ({
  id: Number(row.id),
  user_id: Number(row.user_id),
  amount: BigDecimal.fromStringUnsafe(row.amount),
  status: row.status,
  reason: row.reason ?? undefined,
  steps: row.steps,
  done: row.done,
})

const viewOf = (row: Row): OrderView => ({
  id: Number(row.id),
  user_id: Number(row.user_id),
  amount: row.amount,
  status: row.status,
  processed: row.status === "processed",
  ...(row.reason === null ? {} : { reason: row.reason }),
  items: row.items,
  created_at: row.created_at,
})

const entryOf = ({ id: order_id, status }: Order, { event_id, type, time, data }: Learned) => ({
  order_id,
  status,
  event_id,
  type,
  time,
  data,
})
type Entry = ReturnType<typeof entryOf>

/** Decides the changes one after the other. The first missing order or failed decision fails all of them. */
const decideAll = <E>(changes: ReadonlyArray<Change<E>>, before: ReadonlyMap<number, Order>) =>
  Effect.gen(function* () {
    const after = new Map(before)
    const facts: Array<Fact> = []
    const entries: Array<(drafts: ReadonlyArray<EventDraft>) => Entry> = []
    for (const { order_id, decide, learned, passesOver } of changes) {
      const order = after.get(order_id)
      if (order === undefined && passesOver) continue
      if (order === undefined) return yield* new OrderNotFound({ order_id })
      const decision = yield* Effect.fromResult(decide(order))
      after.set(order_id, decision.order)
      if (learned !== undefined) entries.push(() => entryOf(decision.order, learned))
      for (const fact of decision.facts) {
        const n = facts.push(fact) - 1
        entries.push((drafts) => entryOf(decision.order, drafts[n]!))
      }
    }
    return { after, facts, entries }
  })

/** The statements on orders that exist, their history, and known users. */
const orderTable = (sql: SqlClient.SqlClient) => {
  const lock = (ids: ReadonlyArray<number>) =>
    Effect.orDie(sql<Row>`
      select id, user_id, amount, status, reason, items, steps, done, created_at from orders
      where id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json)) order by id for update`)

  const save = (orders: ReadonlyArray<Order>) => {
    const rows = orders.map(({ id, status, reason, done }) => ({ id, status, reason, done }))
    return sql`
      update orders o set status = x.status, reason = x.reason, done = x.done, version = o.version + 1
      from json_to_recordset(${JSON.stringify(rows)}::json) as x (id bigint, status text, reason text, done json)
      where o.id = x.id`
  }

  const remember = (entries: ReadonlyArray<Entry>) => sql`
    insert into order_history (order_id, event_id, type, occurred_at, status, data)
    select order_id, event_id, type, time, status, data::json
    from json_to_recordset(${JSON.stringify(entries.map((entry, n) => ({ n, ...entry })))}::json)
      as x (n int, order_id bigint, event_id text, type text, time timestamptz, status text, data text)
    order by n`

  const findMany = (ids: ReadonlyArray<number>) =>
    Effect.map(
      sql<Row>`
        select * from orders
        where id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json))`,
      (rows) => {
        const found = new Map(rows.map((row) => [Number(row.id), viewOf(row)]))
        return ids.map((id) => found.get(id))
      },
    )

  const newest = (
    filter: { readonly user_id?: number; readonly status?: OrderStatus },
    before: string | undefined,
    limit: number,
  ) => {
    const wanted = sql.and([
      ...(filter.user_id === undefined ? [] : [sql`user_id = ${filter.user_id}`]),
      ...(filter.status === undefined ? [] : [sql`status = ${filter.status}`]),
      ...(before === undefined ? [] : [sql`id < ${before}::bigint`]),
    ])
    return Effect.map(
      Effect.orDie(sql<Row>`select * from orders where ${wanted} order by id desc limit ${limit}`),
      (rows) => rows.map(viewOf),
    )
  }

  const history = (id: number, after: string | undefined, limit: number) =>
    Effect.orDie(sql<HistoryEntry & { readonly pos: bigint }>`
      select pos, event_id, type, occurred_at, status, data from order_history
      where order_id = ${id} and pos > ${after ?? 0}::bigint order by pos limit ${limit}`)

  const knowUsers = (ids: ReadonlyArray<number>) =>
    Effect.asVoid(
      Effect.orDie(sql`
        insert into users_cache (user_id) select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json)
        order by 1 on conflict do nothing`),
    )

  return { lock, save, remember, findMany, newest, history, knowUsers }
}

/** The tables of orders, their history, and known users. */
export class OrderStore extends Context.Service<OrderStore>()("order/OrderStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { lock, save, remember, findMany, ...queries } = orderTable(sql)
    const database = yield* Database
    const outbox = yield* Outbox
    const idempotency = yield* Idempotency

    /** A placement as the statement's input: everything that is known before the order has its id. */
    const inputOf = (placement: Placement, claim: Claim<OrderView>) =>
      Effect.gen(function* () {
        const created_at = new Date(yield* Clock.currentTimeMillis)
        const event = yield* outbox.draft(OrderCreated, { ...placement, created_at }, ["order_id"])
        const { user_id, payment_method, steps } = placement
        const amount = format(placement.amount)
        const lines = placement.items.map((item) => ({ ...item, price: format(item.price) }))
        const answer = claim.draft({
          user_id,
          amount,
          status: "created",
          processed: false,
          items: lines,
          created_at,
        })
        const row = { user_id, amount, items: lines, payment_method, steps, created_at, event, claim: answer.row }
        return { row, answer }
      })
    type Input = Effect.Success<ReturnType<typeof inputOf>>

    /**
     * Stores orders, their history, their events and the answers to their requests in one statement. An unknown user and a
     * taken key are results, not errors. Two requests with the same key in one statement create one order.
     */
    const placeMany = Effect.fnUntraced(function* (inputs: ReadonlyArray<Input>) {
      const claims = yield* idempotency.insert(sql`
        select claim, id from input where known and first and claim is not null`)
      const rows = yield* sql<{ known: boolean; id: bigint | null }>`
        with input as materialized (
          select x.*, u.user_id is not null as known,
            case when u.user_id is not null then nextval('orders_id_seq') end as id,
            row_number() over (partition by x.claim->>'scope', x.claim->>'key', u.user_id is not null order by x.n) = 1 as first
          from json_to_recordset(${JSON.stringify(inputs.map(({ row }, n) => ({ n, ...row })))}::json)
            as x (n int, user_id bigint, amount numeric, items json, payment_method text, steps json, created_at timestamptz,
              event json, claim json)
          left join users_cache u on u.user_id = x.user_id),
        claimed as (${claims}),
        placed as materialized (
          select * from input
          where known and (claim is null
            or (first and (claim->>'scope', claim->>'key') in (select scope, key from claimed)))
          order by n),
        orders_in as (
          insert into orders (id, user_id, amount, status, items, payment_method, steps, created_at)
          select id, user_id, amount, 'created', items, payment_method, steps, created_at from placed),
        history_in as (
          insert into order_history (order_id, event_id, type, occurred_at, status, data)
          select id, event->>'event_id', event->>'type', created_at, 'created',
            completed('{"order_id":' || id || '}', event->>'data')::json
          from placed),
        outbox_in as (${outbox.insert(OrderCreated, sql`select n, event, '{"order_id":' || id || '}' from placed`)})
        select i.known, p.id from input i left join placed p on p.n = i.n order by i.n`
      yield* outbox.wake
      return rows.map(({ known, id }, n): Placed => {
        if (!known) return { _tag: "UserUnknown" }
        if (id === null) return { _tag: "KeyTaken" }
        return { _tag: "Placed", answered: inputs[n]!.answer.complete(Number(id)) }
      })
    })

    const send = yield* database.coalesce(placeMany)
    const find = yield* database.coalesce(findMany)

    const place = (placement: Placement, claim: Claim<OrderView>) => Effect.flatMap(inputOf(placement, claim), send)

    /**
     * Locks the orders, decides the changes one after the other, saves, appends events and records the history, in one
     * transaction. The first missing order or failed decision rolls back all of them.
     */
    const update = <E>(changes: ReadonlyArray<Change<E>>) =>
      database.transaction(
        Effect.gen(function* () {
          const rows = yield* lock(changes.map(({ order_id }) => order_id))
          const before = new Map(rows.map((row) => [Number(row.id), orderOf(row)]))
          const { after, facts, entries } = yield* decideAll(changes, before)
          const changed = [...after.values()].filter((order) => before.get(order.id) !== order)
          if (changed.length > 0) yield* Effect.orDie(save(changed))
          const drafts = yield* outbox.append(facts)
          if (entries.length > 0) yield* Effect.orDie(remember(entries.map((entry) => entry(drafts))))
        }),
      )

    return { place, update, find, ...queries }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
