import { expect } from "@effect/vitest"
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { onEveryDatabase, Scenario } from "../../runtime/test/harness/scenario.ts"
import { type Balance, unbalanced } from "./balance.ts"
import { inventory } from "./module.ts"

/** The same in one statement, which takes long over large tables. */
const inOneStatement = (sql: SqlClient.SqlClient) => sql<Balance>`
  with moved as (
    select product_id, sum(stock_change) filter (where change = 'put') as put,
      -coalesce(sum(stock_change) filter (where change <> 'put'), 0) as taken, sum(reserved_change) as reserved
    from ledger group by product_id),
  open as (
    select l.product_id, sum(l.quantity) as quantity
    from holds h join hold_lines l on l.order_id = h.order_id where h.status = 'held' group by l.product_id)
  select product_id, coalesce(p.stock, 0)::float8 as stock, coalesce(p.reserved, 0)::float8 as by_shelf,
    coalesce(m.put, 0)::float8 as put, coalesce(m.taken, 0)::float8 as taken,
    coalesce(m.reserved, 0)::float8 as reserved, coalesce(o.quantity, 0)::float8 as held
  from products p full join moved m using (product_id) full join open o using (product_id)
  where coalesce(p.stock, 0) + coalesce(m.taken, 0) <> coalesce(m.put, 0)
    or coalesce(p.reserved, 0) <> coalesce(m.reserved, 0) or coalesce(p.reserved, 0) <> coalesce(o.quantity, 0)
  order by product_id`

const sizes = [1, 2, 3, 5, 8, 1_000].map((n) => ({ ledgerRows: n, orders: n, products: n }))

interface Lines {
  readonly order_id: number
  readonly product_id: string
  readonly quantity: number
}

const put = (sql: SqlClient.SqlClient, product_id: string, stock: number) => sql`
  with made as (
    insert into products (product_id, product_name, stock) values (${product_id}, '', ${stock})
    on conflict (product_id) do update set stock = products.stock + ${stock} returning product_id)
  insert into ledger (product_id, change, stock_change, reserved_change, at)
  select product_id, 'put', ${stock}, 0, now() from made`

/** Holds units for an order, in the order of the locks: the product first, then its ledger. */
const hold = (sql: SqlClient.SqlClient, { order_id, product_id, quantity }: Lines) =>
  sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`update products set reserved = reserved + ${quantity} where product_id = ${product_id}`
      yield* sql`insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
        values (${product_id}, ${order_id}, 'held', 0, ${quantity}, now())`
      yield* sql`insert into hold_lines (order_id, product_id, quantity) values (${order_id}, ${product_id}, ${quantity})`
      yield* sql`insert into holds (order_id, user_id, status, created_at) values (${order_id}, 1, 'held', now())`
    }),
  )

/** Ends the hold of an order for one unit of a product. */
const take = (sql: SqlClient.SqlClient, { order_id, product_id, quantity }: Lines) =>
  sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`update holds set status = 'taken' where order_id = ${order_id}`
      yield* sql`update products set stock = stock - ${quantity}, reserved = reserved - ${quantity}
        where product_id = ${product_id}`
      yield* sql`insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
        values (${product_id}, ${order_id}, 'taken', ${-quantity}, ${-quantity}, now())`
    }),
  )

/** A client that does something before each of its statements. */
const interrupted = <E>(sql: SqlClient.SqlClient, before: Effect.Effect<unknown, E>): SqlClient.SqlClient =>
  new Proxy(sql, {
    apply: (target, self, parts) => Effect.andThen(before, Reflect.apply(target, self, parts)),
  })

const each = await onEveryDatabase([inventory])
each("The balance of the stock", (it) => {
  const database = Effect.map(Scenario, ({ database }) => database("inventory"))

  it.effect("is the same in slices of any size as in one statement", () =>
    Effect.gen(function* () {
      const sql = yield* database
      for (let n = 0; n < 7; n++) yield* put(sql, `P${n}`, 100)
      for (let n = 1; n <= 40; n++) {
        const line = { order_id: 3 * n, product_id: `P${n % 5}`, quantity: 1 + (n % 3) }
        yield* hold(sql, line)
        if (n % 4 === 0) yield* take(sql, line)
      }
      for (const size of sizes) expect(yield* unbalanced(sql, size)).toEqual([])

      yield* sql`update products set stock = stock + 1 where product_id = 'P0'`
      yield* sql`update products set reserved = reserved + 1 where product_id = 'P1'`
      yield* sql`update ledger set reserved_change = reserved_change + 1 where pos = (
        select min(pos) from ledger where product_id = 'P2' and change = 'held')`
      yield* sql`update hold_lines set quantity = quantity + 5 where order_id = (
        select max(order_id) from holds join hold_lines using (order_id) where product_id = 'P3' and status = 'held')`
      yield* sql`update holds set status = 'released' where order_id = (
        select min(order_id) from holds join hold_lines using (order_id) where product_id = 'P4' and status = 'held')`
      // What is put in is reserved for no order.
      yield* sql`update ledger set reserved_change = 2 where product_id = 'P5'`
      yield* sql`update products set reserved = 2 where product_id = 'P5'`
      yield* sql`insert into products (product_id, product_name, stock) values ('OF NO LEDGER', '', 3)`
      yield* sql`insert into ledger (product_id, change, stock_change, reserved_change, at)
        values ('OF NO PRODUCT', 'put', 3, 0, now())`
      yield* sql`insert into hold_lines (order_id, product_id, quantity) values (120, 'OF NO CHANGE', 4)`
      yield* sql`update holds set status = 'held' where order_id = 120`
      const expected = yield* inOneStatement(sql)
      expect(expected.map(({ product_id }) => product_id)).toEqual([
        "OF NO CHANGE",
        "OF NO LEDGER",
        "OF NO PRODUCT",
        ...Array.from({ length: 6 }, (_, n) => `P${n}`),
      ])
      for (const size of sizes) expect([size, yield* unbalanced(sql, size)]).toEqual([size, expected])
      yield* clear(sql)
    }),
  )

  it.effect("is right while orders are placed between the slices", () =>
    Effect.gen(function* () {
      const sql = yield* database
      yield* put(sql, "P", 1_000)
      yield* put(sql, "Q", 1_000)
      let last = 0
      let end = 20
      const line = (order_id: number) => ({ order_id, product_id: order_id % 2 === 0 ? "P" : "Q", quantity: 2 })
      const going = Effect.gen(function* () {
        if (last === end) return
        const order_id = ++last
        // New orders come before and after those that there are.
        yield* hold(sql, line(order_id % 3 === 0 ? 10_000 - order_id : order_id))
        if (order_id > 4 && (order_id - 4) % 3 !== 0) yield* take(sql, line(order_id - 4))
        if (order_id % 5 === 0) yield* put(sql, "P", 1)
      })
      while (last < end) yield* going
      for (const size of sizes) {
        end = last + 30
        expect([size, yield* unbalanced(interrupted(sql, going), size)]).toEqual([size, []])
        expect(last).toBeGreaterThan(end - 30)
        while (last < end) yield* going
      }
      expect(yield* inOneStatement(sql)).toEqual([])
      yield* clear(sql)
    }),
  )
})

/** Removes all but the products that a new inventory has. */
const clear = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* sql`delete from hold_lines`
    yield* sql`delete from holds`
    yield* sql`delete from ledger where product_id !~ '001$'`
    yield* sql`delete from products where product_id !~ '001$'`
  })
