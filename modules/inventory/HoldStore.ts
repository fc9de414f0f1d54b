import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import type { Fact } from "../../runtime/events/Event.ts"
import { Outbox } from "../../runtime/outbox/Outbox.ts"
import { Database } from "../../runtime/sql/Database.ts"
import { Tasks } from "../../runtime/module/Tasks.ts"
import { type Entry, type Hold, type HoldStatus, learn, type Line, type News, productsFor, type Stock } from "./Hold.ts"
import { ProductStore } from "./ProductStore.ts"
import { holdMillis } from "./settings.ts"

/** The task that ends expired holds. */
export const expireHold = "inventory.expire"

/** An event about an order. */
export interface Change {
  readonly order_id: number
  readonly user_id: number
  readonly news: News
}

interface Row {
  readonly order_id: bigint
  readonly user_id: bigint
  readonly status: HoldStatus
  readonly is_paid: boolean
  readonly is_dead: boolean
}

const holdOf = (row: Row, lines: ReadonlyArray<Line>): Hold => ({
  order_id: Number(row.order_id),
  user_id: Number(row.user_id),
  status: row.status,
  isPaid: row.is_paid,
  isDead: row.is_dead,
  lines,
})

/** A change of a hold. */
interface Changed {
  readonly before: Hold
  readonly after: Hold
}

/** Decides the events one after the other; each decision sees the results of those before it. */
const decideAll = (changes: ReadonlyArray<Change>, holds: Map<number, Hold>, shelf: Map<string, Stock>) => {
  const changed: Array<Changed> = []
  const moved = new Set<string>()
  const entries: Array<Entry> = []
  const facts: Array<Fact> = []
  for (const { order_id, news } of changes) {
    const before = holds.get(order_id)!
    const decision = learn(before, news, shelf)
    if (decision.hold === before) continue
    holds.set(order_id, decision.hold)
    changed.push({ before, after: decision.hold })
    for (const product of decision.products) shelf.set(product.product_id, product)
    for (const { product_id } of decision.products) moved.add(product_id)
    entries.push(...decision.entries)
    facts.push(...decision.facts)
  }
  return { changed, products: Array.from(moved, (id) => shelf.get(id)!), entries, facts }
}

/** The statements on holds and their lines. */
const holdTable = (sql: SqlClient.SqlClient) => {
  /** Inserts holds for orders that have none. */
  const expect = (changes: ReadonlyArray<Change>, now: Date) => {
    const orders = changes.map(({ order_id, user_id }) => ({ order_id, user_id }))
    return sql`
      insert into holds (order_id, user_id, created_at)
      select order_id, user_id, ${now} from json_to_recordset(${JSON.stringify(orders)}::json)
        as x (order_id bigint, user_id bigint)
      order by order_id on conflict do nothing`
  }

  const lockRows = (ids: ReadonlyArray<number>) =>
    Effect.orDie(sql<Row>`
      select order_id, user_id, status, is_paid, is_dead from holds
      where order_id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json))
      order by order_id for update`)

  const linesOf = (holds: ReadonlyArray<Row>) =>
    Effect.map(
      holds.length === 0
        ? Effect.succeed([])
        : sql<{ order_id: bigint; product_id: string; quantity: bigint }>`
            select order_id, product_id, quantity from hold_lines
            where order_id in (
              select value::bigint from json_array_elements_text(${JSON.stringify(holds.map(({ order_id }) => String(order_id)))}::json))
            order by order_id, product_id`,
      (rows) => Map.groupBy(rows, ({ order_id }) => order_id),
    )

  const save = (changed: ReadonlyArray<Changed>) => {
    const last = new Map(changed.map(({ after }) => [after.order_id, after]))
    const rows = Array.from(last.values(), ({ order_id, status, isPaid, isDead }) => ({
      order_id,
      status,
      is_paid: isPaid,
      is_dead: isDead,
    }))
    return sql`
      update holds h set status = x.status, is_paid = x.is_paid, is_dead = x.is_dead
      from json_to_recordset(${JSON.stringify(rows)}::json)
        as x (order_id bigint, status text, is_paid boolean, is_dead boolean)
      where h.order_id = x.order_id`
  }

  /** Stores the lines of new holds; they never change. */
  const saveLines = (changed: ReadonlyArray<Changed>) => {
    const begun = changed.filter(({ before }) => before.lines.length === 0)
    const lines = begun.flatMap(({ after: { order_id, lines } }) => lines.map((line) => ({ order_id, ...line })))
    return lines.length === 0
      ? Effect.void
      : sql`
          insert into hold_lines (order_id, product_id, quantity)
          select order_id, product_id, quantity from json_to_recordset(${JSON.stringify(lines)}::json)
            as x (order_id bigint, product_id text, quantity bigint)`
  }

  return { expect, lockRows, linesOf, save, saveLines }
}

/**
 * The table of holds. Every transaction that locks both locks holds first, by order, and then products, by id. This avoids
 * deadlocks, and rows that many orders need are locked last.
 */
export class HoldStore extends Context.Service<HoldStore>()("inventory/HoldStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { expect, lockRows, linesOf, save, saveLines } = holdTable(sql)
    const database = yield* Database
    const outbox = yield* Outbox
    const tasks = yield* Tasks
    const products = yield* ProductStore
    const lastsMillis = yield* Effect.orDie(holdMillis)

    /** Locks the holds of these orders, and inserts missing ones. */
    const lock = (changes: ReadonlyArray<Change>, now: Date) =>
      Effect.gen(function* () {
        yield* expect(changes, now)
        const rows = yield* lockRows(changes.map(({ order_id }) => order_id))
        // A separate statement: one that waits for a row reads other tables as they were before its wait.
        const lines = yield* linesOf(rows.filter(({ status }) => status === "held" || status === "taken"))
        const linesFor = ({ order_id }: Row) =>
          (lines.get(order_id) ?? []).map(({ product_id, quantity }) => ({ product_id, quantity: Number(quantity) }))
        return new Map(rows.map((row) => [Number(row.order_id), holdOf(row, linesFor(row))]))
      })

    /** Adds the expiry task of new holds, and removes it for holds that have ended. */
    const schedule = (changed: ReadonlyArray<Changed>, now: Date) => {
      const due = new Date(now.getTime() + lastsMillis)
      const begun = changed.filter(({ after }) => after.status === "held")
      const ended = changed.filter(({ before }) => before.status === "held")
      return Effect.andThen(
        tasks.add(
          expireHold,
          begun.map(({ after }) => ({ id: after.order_id, due })),
        ),
        tasks.remove(
          expireHold,
          ended.map(({ after }) => after.order_id),
        ),
      )
    }

    /** Locks holds and products, decides the changes one after the other, saves and appends events, in one transaction. */
    const update = (changes: ReadonlyArray<Change>) =>
      database.transaction(
        Effect.gen(function* () {
          yield* database.patient
          const now = new Date(yield* Clock.currentTimeMillis)
          const holds = yield* lock(changes, now)
          const wanted = changes.flatMap(({ order_id, news }) => productsFor(holds.get(order_id)!, news))
          const shelf = yield* products.lock([...new Set(wanted)])
          const { changed, products: moved, entries, facts } = decideAll(changes, holds, shelf)
          if (changed.length === 0) return
          yield* save(changed)
          yield* saveLines(changed)
          yield* products.save(moved, entries)
          yield* schedule(changed, now)
          yield* outbox.append(facts)
        }).pipe(Effect.orDie),
      )

    /** Which of these orders have held stock, with their users. */
    const held = (ids: ReadonlyArray<number>) =>
      Effect.map(
        Effect.orDie(sql<Pick<Row, "order_id" | "user_id">>`
          select order_id, user_id from holds
          where order_id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json))
            and status = 'held'`),
        (rows) => new Map(rows.map(({ order_id, user_id }) => [Number(order_id), Number(user_id)])),
      )

    /** Locks the holds of these orders, and returns those that are held. */
    const lockHeld = (ids: ReadonlyArray<number>) =>
      Effect.map(
        lockRows(ids),
        (rows) => new Set(rows.filter(({ status }) => status === "held").map(({ order_id }) => Number(order_id))),
      )

    return { update, held, lockHeld }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
