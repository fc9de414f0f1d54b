import { describe, expect } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { Deliveries } from "../../runtime/module/Deliveries.ts"
import type { EventType } from "../../runtime/events/Event.ts"
import { EventBusError } from "../../runtime/events/EventBus.ts"
import {
  eventually,
  onEveryDatabase,
  pagesOf,
  Scenario,
  statusesOf,
  together,
} from "../../runtime/test/harness/scenario.ts"
import { OrderCancelled, OrderCreated } from "../order/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { InventoryRejected, InventoryUpdated } from "./contract/events.ts"
import { inventory } from "./module.ts"

let last = 0
const next = () => ++last

interface Order {
  readonly order_id: number
  readonly user_id: number
}

const anOrder = (): Order => ({ order_id: next(), user_id: next() })

const get = (product_id: string) => Effect.flatMap(Scenario, ({ get }) => get(`/inventory/${product_id}`))

const put = (product_id: string, stock: unknown, product_name: unknown = "A product") =>
  Effect.flatMap(Scenario, ({ request }) =>
    request("PUT", `/inventory/${product_id}`, { body: { product_name, stock } }),
  )

/** A product of its own for a test. */
const aProduct = (stock: number) =>
  Effect.gen(function* () {
    const product_id = `P-${next()}`
    expect((yield* put(product_id, stock)).status).toBe(201)
    return product_id
  })

type Quantities = Readonly<Record<string, number>>

const created = ({ order_id, user_id }: Order, items: Quantities, steps = ["payment", "inventory"] as const) => ({
  order_id,
  user_id,
  amount: "100.50",
  items: Object.entries(items).map(([product_id, quantity]) => ({
    product_id,
    product_name: product_id,
    quantity,
    price: "1.00",
  })),
  payment_method: "card_ok",
  steps,
  created_at: "2026-01-02T03:04:05.678Z",
})
type Steps = Parameters<typeof created>[2]
const withoutPayment = ["inventory"] as unknown as Steps
const withoutInventory = ["payment"] as unknown as Steps

const fields = ({ order_id, user_id }: Order) => ({ order_id, user_id, amount: "100.50" })

/** The events about an order, by name. */
const news: Readonly<Record<string, (order: Order) => readonly [EventType, unknown]>> = {
  payment_successful: (order) => [PaymentSuccessful, { ...fields(order), payment_id: 1 }],
  payment_failed: (order) => [PaymentFailed, { ...fields(order), payment_id: 1, reason: "card_declined" }],
  payment_refunded: (order) => [PaymentRefunded, { ...fields(order), payment_id: 1, reason: "order_cancelled" }],
  order_cancelled: (order) => [OrderCancelled, fields(order)],
}
const endings = ["payment_failed", "payment_refunded", "order_cancelled"]

const receive = (order: Order, name: string) =>
  Effect.gen(function* () {
    const { publish, settled } = yield* Scenario
    const [event, data] = news[name]!(order)
    yield* publish(event, data as never)
    yield* settled
  })

const place = (order: Order, items: Quantities, steps?: Steps) =>
  Effect.gen(function* () {
    const { publish, settled } = yield* Scenario
    yield* publish(OrderCreated, created(order, items, steps))
    yield* settled
  })

/** The events published about an order, in their order: changes, or the reason of a rejection. */
const published = ({ order_id }: Order) =>
  Effect.gen(function* () {
    const { published } = yield* Scenario
    const all = [...(yield* published(InventoryUpdated)), ...(yield* published(InventoryRejected))]
    return all.filter(({ data }) => data.order_id === order_id).sort((a, b) => (a.id < b.id ? -1 : 1))
  })
const storyOf = (order: Order) =>
  Effect.map(published(order), (events) => events.map(({ data }) => data.change ?? data.reason))

/** Past what may be cached. */
const fresh = (product_id: string) =>
  Effect.flatMap(Scenario, ({ database }) =>
    Effect.orDie(
      Effect.map(
        database("inventory")<{ stock: bigint; reserved: bigint }>`
          select stock, reserved from products where product_id = ${product_id}`,
        ([row]) => ({ stock: Number(row!.stock), reserved: Number(row!.reserved) }),
      ),
    ),
  )

/** What does not add up: of each product on hand, held and taken, by the holds and by the ledger. */
const unaccounted = Effect.flatMap(Scenario, ({ database }) =>
  Effect.orDie(database("inventory")`
    with by_ledger as (
      select product_id, sum(stock_change) as stock, sum(reserved_change) as reserved,
        sum(stock_change) filter (where change = 'put') as put
      from ledger group by product_id),
    by_holds as (
      select product_id, coalesce(sum(quantity) filter (where status = 'held'), 0) as held,
        coalesce(sum(quantity) filter (where status = 'taken'), 0) as taken
      from hold_lines join holds using (order_id) group by product_id)
    select p.*, l.stock as ledger_stock, l.reserved as ledger_reserved, l.put, h.held, h.taken
    from products p left join by_ledger l using (product_id) left join by_holds h using (product_id)
    where (p.stock, p.reserved) is distinct from (l.stock, l.reserved)
      or p.reserved <> coalesce(h.held, 0) or p.stock + coalesce(h.taken, 0) <> l.put`),
)

/** Tasks that wait for orders. */
const tasksOf = (orders: ReadonlyArray<Order>) =>
  Effect.flatMap(Scenario, ({ database }) =>
    Effect.orDie(
      Effect.map(
        database("inventory")<{ id: string }>`select id from task where name = 'inventory.expire'`,
        (rows) => orders.filter(({ order_id }) => rows.some(({ id }) => id === String(order_id))).length,
      ),
    ),
  )

;(await onEveryDatabase([inventory]))("inventory", (it) => {
  it.effect("has three products when it is new", () =>
    Effect.gen(function* () {
      expect((yield* get("LAPTOP001")).body).toEqual({
        product_id: "LAPTOP001",
        product_name: "Gaming Laptop",
        stock: 50,
        reserved: 0,
        available: 50,
      })
      const known = { LAPTOP001: 50, MOUSE001: 200, KEYBOARD001: 100 }
      for (const [product_id, stock] of Object.entries(known)) expect((yield* get(product_id)).body.stock).toBe(stock)
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("lists its products by their ids, page by page, each once", () =>
    Effect.gen(function* () {
      for (const product_id of ["a", "B", "_", "-", "0"]) yield* put(`list.${product_id}`, 1)
      const pages = yield* pagesOf("/inventory?limit=2")
      const ids = pages.flat().map(({ product_id }) => product_id)
      expect(ids).toEqual(ids.toSorted((a, b) => (a < b ? -1 : 1)))
      expect(new Set(ids).size).toBe(ids.length)
      expect(ids).toEqual(expect.arrayContaining(["LAPTOP001", "list.-", "list.0", "list.B", "list._", "list.a"]))
    }),
  )

  it.effect("creates a product when its stock is first set, and changes the stock later", () =>
    Effect.gen(function* () {
      const product_id = `Q-${next()}`
      expect((yield* get(product_id)).body).toMatchObject({ type: "/problems/product-not-found", product_id })
      const first = yield* put(product_id, 0, "Ünïcode ✓")
      expect(first.status).toBe(201)
      expect(first.headers.get("location")).toBe(`/inventory/${product_id}`)
      expect(first.body).toEqual({ product_id, product_name: "Ünïcode ✓", stock: 0, reserved: 0, available: 0 })
      const second = yield* put(product_id, 12, "Renamed")
      expect(second.status).toBe(200)
      expect(second.headers.get("location")).toBeNull()
      expect(second.body).toEqual({ product_id, product_name: "Renamed", stock: 12, reserved: 0, available: 12 })
      expect((yield* get(product_id)).body).toEqual(second.body)
      expect(statusesOf(yield* together(10, () => put(`Q-${next()}`, 5)))).toEqual({ 201: 10 })
    }),
  )

  it.effect("creates a product once, under any number of concurrent requests", () =>
    Effect.gen(function* () {
      const product_id = `R-${next()}`
      const answers = yield* together(20, (n) => put(product_id, n))
      expect(statusesOf(answers)).toEqual({ 201: 1, 200: 19 })
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("shows a new stock at once, even if the old one was just read", () =>
    Effect.gen(function* () {
      const product_id = yield* aProduct(0)
      for (let stock = 1; stock <= 20; stock++) {
        yield* together(3, () => get(product_id))
        yield* Effect.all([get(product_id), put(product_id, stock)], { concurrency: 2 })
        expect((yield* get(product_id)).body.stock).toBe(stock)
      }
    }),
  )

  it.effect("shows changes by orders within a second", () =>
    Effect.gen(function* () {
      const product_id = yield* aProduct(5)
      yield* get(product_id)
      yield* place(anOrder(), { [product_id]: 2 })
      yield* Effect.sleep("1 second")
      expect((yield* get(product_id)).body).toMatchObject({ stock: 5, reserved: 2, available: 3 })
    }),
  )

  describe("refuses", () => {
    it.effect.each([
      [-1, "A", "/stock"],
      [1.5, "A", "/stock"],
      [1_000_000_001, "A", "/stock"],
      ["5", "A", "/stock"],
      [null, "A", "/stock"],
      [5, "", "/product_name"],
      [5, "  ", "/product_name"],
      [5, "x".repeat(201), "/product_name"],
      [5, "a\u0000b", "/product_name"],
      [5, 7, "/product_name"],
    ] as const)("a stock of %j and the name %j", ([stock, name, pointer]) =>
      Effect.gen(function* () {
        const product_id = `S-${next()}`
        const { status, body } = yield* put(product_id, stock, name)
        expect(status).toBe(422)
        expect(body).toMatchObject({ type: "/problems/validation-failed", errors: [{ pointer }] })
        expect((yield* get(product_id)).status).toBe(404)
      }),
    )

    it.effect("every wrong value at once", () =>
      Effect.gen(function* () {
        const { status, body } = yield* put("S", -1, "")
        expect(status).toBe(422)
        expect(body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
          "/product_name",
          "/stock",
        ])
      }),
    )

    it.effect.each(["a b", "ä", "x".repeat(65), "a%2Fb", "a;b", "%00", "'", "%F0%9F%92%A9", "a,b", "*"])(
      "an address with the id %s",
      (product_id) =>
        Effect.gen(function* () {
          expect((yield* get(product_id)).status).toBe(404)
          expect((yield* put(product_id, 1)).status).toBe(404)
        }),
    )

    it.effect("a stock below the held units", () =>
      Effect.gen(function* () {
        const product_id = yield* aProduct(5)
        yield* place(anOrder(), { [product_id]: 3 })
        const { status, body } = yield* put(product_id, 2)
        expect(status).toBe(409)
        expect(body).toMatchObject({ type: "/problems/stock-below-reserved", product_id, reserved: 3 })
        expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 3 })
        expect((yield* put(product_id, 3)).body).toMatchObject({ stock: 3, reserved: 3, available: 0 })
        expect(yield* unaccounted).toEqual([])
      }),
    )
  })

  it.effect.each(["_.-", "A", "x".repeat(64), "...", "constructor", "__proto__"])("accepts the id %s", (product_id) =>
    Effect.gen(function* () {
      expect((yield* put(product_id, 1)).status).toBe(201)
      expect((yield* get(product_id)).body.product_id).toBe(product_id)
      const order = anOrder()
      yield* place(order, JSON.parse(`{"${product_id}": 1}`))
      expect(yield* storyOf(order)).toEqual(["held"])
    }),
  )

  it.effect("holds all lines of an order, and takes them when it is paid", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* aProduct(5), yield* aProduct(5)]
      const order = anOrder()
      yield* place(order, { [one]: 2, [other]: 5 })
      expect(yield* fresh(one)).toEqual({ stock: 5, reserved: 2 })
      expect(yield* tasksOf([order])).toBe(1)
      yield* receive(order, "payment_successful")
      expect(yield* fresh(one)).toEqual({ stock: 3, reserved: 0 })
      expect(yield* fresh(other)).toEqual({ stock: 0, reserved: 0 })
      expect(yield* tasksOf([order])).toBe(0)
      const [held, taken, ...more] = yield* published(order)
      expect(more).toEqual([])
      expect(held).toMatchObject({ type: "inventory_updated", key: String(order.user_id) })
      expect(held!.data).toEqual({
        ...order,
        change: "held",
        lines: [
          { product_id: one, quantity: 2, stock: 5, available: 3 },
          { product_id: other, quantity: 5, stock: 5, available: 0 },
        ],
      })
      expect(taken!.data).toEqual({
        ...order,
        change: "taken",
        lines: [
          { product_id: one, quantity: 2, stock: 3, available: 3 },
          { product_id: other, quantity: 5, stock: 0, available: 0 },
        ],
      })
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("adds up the lines of one product", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const product_id = yield* aProduct(5)
      const [enough, short] = [anOrder(), anOrder()]
      const twice = (order: Order, quantity: number) => {
        const data = created(order, { [product_id]: quantity })
        return { ...data, items: [...data.items, ...data.items] }
      }
      yield* publish(OrderCreated, twice(short, 3))
      yield* publish(OrderCreated, twice(enough, 2))
      yield* settled
      expect((yield* published(short))[0]!.data).toEqual({
        ...short,
        reason: "out_of_stock",
        shortages: [{ product_id, requested: 6, available: 5 }],
      })
      expect((yield* published(enough))[0]!.data.lines).toEqual([{ product_id, quantity: 4, stock: 5, available: 1 }])
    }),
  )

  it.effect("rejects an order of which one line is short, and holds nothing of it", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* aProduct(5), yield* aProduct(1)]
      const order = anOrder()
      yield* place(order, { [one]: 2, [other]: 2 })
      expect((yield* published(order)).map(({ type, data }) => [type, data])).toEqual([
        [
          "inventory_rejected",
          { ...order, reason: "out_of_stock", shortages: [{ product_id: other, requested: 2, available: 1 }] },
        ],
      ])
      expect(yield* fresh(one)).toEqual({ stock: 5, reserved: 0 })
      for (const name of Object.keys(news)) yield* receive(order, name)
      yield* put(other, 10)
      yield* place(order, { [one]: 2, [other]: 2 })
      expect(yield* storyOf(order)).toEqual(["out_of_stock"])
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("counts a product that it does not know as none available", () =>
    Effect.gen(function* () {
      const [known, order] = [yield* aProduct(0), anOrder()]
      yield* place(order, { [known]: 1, UNKNOWN: 1_000_000 })
      expect((yield* published(order))[0]!.data).toEqual({
        ...order,
        reason: "unknown_product",
        shortages: [
          { product_id: known, requested: 1, available: 0 },
          { product_id: "UNKNOWN", requested: 1_000_000, available: 0 },
        ],
      })
    }),
  )

  it.effect("holds orders without items or with only an amount", () =>
    Effect.gen(function* () {
      const { put, settled } = yield* Scenario
      const [one, bare] = [anOrder(), anOrder()]
      yield* place(one, {})
      yield* put({ topic: "order_created", value: Buffer.from(JSON.stringify(fields(bare))) })
      yield* settled
      for (const order of [one, bare]) {
        expect((yield* published(order)).map(({ data }) => data)).toEqual([{ ...order, change: "held", lines: [] }])
        yield* receive(order, "payment_successful")
        expect(yield* storyOf(order)).toEqual(["held", "taken"])
      }
    }),
  )

  it.effect("takes stock at once for an order that needs no payment", () =>
    Effect.gen(function* () {
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      yield* place(order, { [product_id]: 2 }, withoutPayment)
      expect((yield* published(order)).map(({ data }) => data)).toEqual([
        { ...order, change: "taken", lines: [{ product_id, quantity: 2, stock: 3, available: 3 }] },
      ])
      expect(yield* fresh(product_id)).toEqual({ stock: 3, reserved: 0 })
      expect(yield* tasksOf([order])).toBe(0)
      yield* receive(order, "order_cancelled")
      expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 0 })
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("ignores an order that does not need it", () =>
    Effect.gen(function* () {
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      yield* place(order, { [product_id]: 2, UNKNOWN: 1 }, withoutInventory)
      for (const name of Object.keys(news)) yield* receive(order, name)
      expect(yield* published(order)).toEqual([])
      expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 0 })
    }),
  )

  it.effect("records a payment that arrives before its order, and then takes the stock at once", () =>
    Effect.gen(function* () {
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      yield* receive(order, "payment_successful")
      expect(yield* published(order)).toEqual([])
      yield* place(order, { [product_id]: 2 })
      expect(yield* storyOf(order)).toEqual(["taken"])
      expect(yield* fresh(product_id)).toEqual({ stock: 3, reserved: 0 })
    }),
  )

  it.effect.each(endings)("records %s that arrives before its order, and then holds nothing", (name) =>
    Effect.gen(function* () {
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      yield* receive(order, name)
      yield* receive(order, "payment_successful")
      yield* place(order, { [product_id]: 2 })
      expect(yield* published(order)).toEqual([])
      expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 0 })
    }),
  )

  it.effect.each(endings)("releases held and taken stock upon %s", (name) =>
    Effect.gen(function* () {
      const product_id = yield* aProduct(5)
      const [held, taken] = [anOrder(), anOrder()]
      yield* place(held, { [product_id]: 2 })
      yield* place(taken, { [product_id]: 3 })
      yield* receive(taken, "payment_successful")
      expect(yield* fresh(product_id)).toEqual({ stock: 2, reserved: 2 })
      yield* receive(held, name)
      yield* receive(taken, name)
      expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 0 })
      expect(yield* tasksOf([held, taken])).toBe(0)
      expect(yield* storyOf(held)).toEqual(["held", "released"])
      expect((yield* published(taken)).at(-1)!.data).toEqual({
        ...taken,
        change: "released",
        lines: [{ product_id, quantity: 3, stock: 5, available: 5 }],
      })
      for (const order of [held, taken]) {
        yield* receive(order, "payment_successful")
        yield* receive(order, name)
        yield* place(order, { [product_id]: 2 })
      }
      expect(yield* storyOf(held)).toEqual(["held", "released"])
      expect(yield* storyOf(taken)).toEqual(["held", "taken", "released"])
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("sells the last ten units to ten of fifty, while their stock is set again and again", () =>
    Effect.gen(function* () {
      const { publishAll, settled, held } = yield* Scenario
      const product_id = yield* aProduct(10)
      const orders = Array.from({ length: 50 }, anOrder)
      const selling = Effect.forEach(
        [0, 10, 20, 30, 40],
        (from) =>
          publishAll(
            OrderCreated,
            orders.slice(from, from + 10).map((order) => created(order, { [product_id]: 1 })),
          ),
        { concurrency: "unbounded" },
      )
      const [, answers] = yield* Effect.all([selling, together(30, () => put(product_id, 10))], { concurrency: 2 })
      expect(statusesOf(answers)).toEqual({ 200: 30 })
      yield* settled
      const stories = yield* Effect.forEach(orders, storyOf)
      expect(stories.filter(([first]) => first === "held")).toHaveLength(10)
      expect(stories.filter(([first]) => first === "out_of_stock")).toHaveLength(40)
      expect(yield* fresh(product_id)).toEqual({ stock: 10, reserved: 10 })
      yield* publishAll(
        PaymentSuccessful,
        orders.map((order) => ({ ...fields(order), payment_id: 1 })),
      )
      yield* settled
      expect(yield* fresh(product_id)).toEqual({ stock: 0, reserved: 0 })
      expect(yield* held("inventory")).toEqual([])
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("has no deadlocks, whatever arrives at once for the same products", () =>
    Effect.gen(function* () {
      const { publishAll, settled, held, database } = yield* Scenario
      const products = yield* Effect.forEach(Array.from({ length: 6 }), () => aProduct(1_000))
      const orders = Array.from({ length: 120 }, anOrder)
      const itemsOf = (n: number) =>
        Object.fromEntries(products.map((_, m) => [products[(n * 5 + m) % products.length]!, 1 + ((n + m) % 3)]))
      const tellOf = (event: EventType, data: (order: Order, n: number) => object) =>
        Effect.forEach(
          Array.from({ length: 12 }, (_, n) => n * 10),
          (from) => publishAll(event, orders.slice(from, from + 10).map((order, n) => data(order, from + n)) as never),
          { concurrency: "unbounded" },
        )
      yield* Effect.all(
        [
          tellOf(OrderCreated, (order, n) => created(order, itemsOf(n))),
          tellOf(PaymentSuccessful, (order) => ({ ...fields(order), payment_id: 1 })),
          tellOf(OrderCancelled, fields),
          together(30, (n) => put(products[n % products.length]!, 2_000 + n)),
        ],
        { concurrency: "unbounded" },
      )
      yield* settled
      expect(yield* held("inventory")).toEqual([])
      expect(yield* unaccounted).toEqual([])
      for (const product_id of products) expect((yield* fresh(product_id)).reserved).toBe(0)
      const [row] = yield* Effect.orDie(
        database("inventory")<{ deadlocks: bigint }>`
          select deadlocks from pg_stat_database where datname = current_database()`,
      )
      expect(Number(row!.deadlocks)).toBe(0)
    }),
  )

  describe("sees what another instance has just done to the same order:", () => {
    /** Another instance changes an order's hold in a transaction, during which the order is paid. */
    const paidDuring = (
      { order_id, user_id }: Order,
      change: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>,
    ) =>
      Effect.gen(function* () {
        const { database, publish, settled } = yield* Scenario
        const sql = database("inventory")
        const locked = yield* Deferred.make<void>()
        const changing = Effect.gen(function* () {
          yield* sql`insert into holds (order_id, user_id, created_at) values (${order_id}, ${user_id}, ${new Date()})
            on conflict do nothing`
          yield* sql`select 1 from holds where order_id = ${order_id} for update`
          yield* Deferred.succeed(locked, undefined)
          yield* Effect.sleep("500 millis")
          yield* change(sql)
        })
        const paying = publish(PaymentSuccessful, { ...fields({ order_id, user_id }), payment_id: 1 })
        yield* Effect.all(
          [Effect.orDie(sql.withTransaction(changing)), Effect.andThen(Deferred.await(locked), paying)],
          {
            concurrency: 2,
          },
        )
        yield* settled
      })

    it.effect("released stock is not taken", () =>
      Effect.gen(function* () {
        const [product_id, order] = [yield* aProduct(5), anOrder()]
        yield* place(order, { [product_id]: 2 })
        yield* paidDuring(
          order,
          (sql) => sql`
            with released as (update holds set status = 'released' where order_id = ${order.order_id}),
            free as (update products set reserved = 0 where product_id = ${product_id})
            insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
            values (${product_id}, ${order.order_id}, 'released', 0, -2, ${new Date()})`,
        )
        expect(yield* storyOf(order)).toEqual(["held"])
        expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 0 })
        expect(yield* unaccounted).toEqual([])
      }),
    )

    it.effect.each([
      ["for the first time", false],
      ["of which an event arrived before", true],
    ] as const)("stock held for an order %s is taken, with its lines", ([, isExpected]) =>
      Effect.gen(function* () {
        const { database } = yield* Scenario
        const [product_id, order] = [yield* aProduct(5), anOrder()]
        const { order_id, user_id } = order
        if (isExpected) {
          yield* database("inventory")`
            insert into holds (order_id, user_id, created_at) values (${order_id}, ${user_id}, ${new Date()})`
        }
        yield* paidDuring(
          order,
          (sql) => sql`
            with held as (update holds set status = 'held' where order_id = ${order_id}),
            lines as (insert into hold_lines (order_id, product_id, quantity) values (${order_id}, ${product_id}, 2)),
            reserved as (update products set reserved = 2 where product_id = ${product_id})
            insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
            values (${product_id}, ${order_id}, 'held', 0, 2, ${new Date()})`,
        )
        expect((yield* published(order)).map(({ data }) => data)).toEqual([
          { ...order, change: "taken", lines: [{ product_id, quantity: 2, stock: 3, available: 3 }] },
        ])
        expect(yield* unaccounted).toEqual([])
      }),
    )
  })

  it.effect("lets an event that cannot be read hold back its own order, and no other of its user", () =>
    Effect.gen(function* () {
      const { put, held, settled } = yield* Scenario
      const product_id = yield* aProduct(5)
      const one = anOrder()
      const other = { order_id: next(), user_id: one.user_id }
      yield* place(one, { [product_id]: 1 })
      yield* place(other, { [product_id]: 1 })
      const broken = { ...fields(one), payment_id: 1, amount: "no money" }
      yield* put({ topic: "payment_successful", key: String(one.user_id), value: Buffer.from(JSON.stringify(broken)) })
      yield* receive(one, "payment_successful")
      yield* receive(other, "payment_successful")
      yield* settled
      expect(yield* storyOf(one)).toEqual(["held"])
      expect(yield* storyOf(other)).toEqual(["held", "taken"])
      const own = (yield* held("inventory")).filter(({ key }) => key === `order_id:${one.order_id}`)
      expect(own.map(({ reaction }) => reaction)).toEqual(["inventory.take", "inventory.take"])
    }),
  )
})

/** 0.6 s. */
const soon = { HOLD_MINUTES: "0.01" }

const isHeld = (order: Order) =>
  Effect.flatMap(Scenario, ({ database }) =>
    Effect.orDie(
      Effect.map(
        database("inventory")`select 1 from holds where order_id = ${order.order_id} and status = 'held'`,
        (rows) => rows.length === 1,
      ),
    ),
  )

const expired = (order: Order) =>
  eventually(Effect.map(storyOf(order), (story) => expect(story).toEqual(["held", "hold_expired"])))

/** Waits until the hold was looked at and stayed, or is over. */
const lookedAt = (order: Order) =>
  Effect.gen(function* () {
    const { database } = yield* Scenario
    const rows = yield* database("inventory")`
      select 1 from holds where order_id = ${order.order_id} and status = 'held' and not exists (
        select 1 from task where id = order_id::text and attempts >= 2)`
    expect(rows).toEqual([])
  }).pipe(eventually, Effect.orDie)

;(await onEveryDatabase([inventory], soon))("inventory, when a hold has expired", (it) => {
  it.effect("rejects the order, without shortages, and releases its stock", () =>
    Effect.gen(function* () {
      const product_id = yield* aProduct(5)
      const orders = Array.from({ length: 3 }, anOrder)
      for (const order of orders) yield* place(order, { [product_id]: 1 })
      for (const order of orders) {
        yield* expired(order)
        expect((yield* published(order))[1]!.data).toEqual({ ...order, reason: "hold_expired" })
      }
      expect(yield* fresh(product_id)).toEqual({ stock: 5, reserved: 0 })
      yield* eventually(Effect.map(tasksOf(orders), (count) => expect(count).toBe(0)))
      yield* receive(orders[0]!, "payment_successful")
      expect(yield* storyOf(orders[0]!)).toEqual(["held", "hold_expired"])
      expect(yield* unaccounted).toEqual([])
    }),
  )

  it.effect("leaves holds that were taken or released in time", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const [product_id, paid, cancelled] = [yield* aProduct(5), anOrder(), anOrder()]
      // At once: what is on the log when a hold has expired is waited for.
      yield* Effect.all(
        [
          ...[paid, cancelled].map((order) => publish(OrderCreated, created(order, { [product_id]: 1 }))),
          publish(PaymentSuccessful, { ...fields(paid), payment_id: 1 }),
          publish(OrderCancelled, fields(cancelled)),
        ],
        { concurrency: "unbounded" },
      )
      yield* settled
      expect((yield* storyOf(paid)).at(-1)).toBe("taken")
      expect(yield* storyOf(cancelled)).not.toContain("hold_expired")
      expect(yield* fresh(product_id)).toEqual({ stock: 4, reserved: 0 })
      expect(yield* tasksOf([paid, cancelled])).toBe(0)
    }),
  )

  it.effect("waits while an event about the order is a dead letter, but not for other orders of its user", () =>
    Effect.gen(function* () {
      const scenario = yield* Scenario
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      const other = { order_id: next(), user_id: order.user_id }
      const broken = { ...fields(order), payment_id: 1, amount: "no money" }
      const value = Buffer.from(JSON.stringify(broken))
      yield* scenario.put({ topic: "payment_successful", key: String(order.user_id), value })
      yield* scenario.settled
      for (const one of [order, other]) yield* place(one, { [product_id]: 1 })
      yield* expired(other)
      yield* lookedAt(order)
      expect(yield* isHeld(order)).toBe(true)
      const { body } = yield* scenario.get("/admin/dead-letters?reaction=inventory.take")
      expect(body.items).toHaveLength(1)
      yield* scenario.post(`/admin/dead-letters/${body.items[0].id}/discard`)
      yield* expired(order)
    }),
  )
})

/** The module with other answers about its own consumer. */
const withDeliveries = (deliveries: Deliveries["Service"]) => ({
  ...inventory,
  layer: Layer.provide(inventory.layer, Layer.succeed(Deliveries, deliveries)) as typeof inventory.layer,
})

let isBehind = true
const behind = withDeliveries({
  ends: () => Effect.succeed([]),
  caughtUp: () => Effect.sync(() => !isBehind),
})

;(await onEveryDatabase([behind], soon))("inventory, when a hold has expired and the consumer lags", (it) => {
  it.effect("keeps the hold until its consumer has caught up", () =>
    Effect.gen(function* () {
      isBehind = true
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      yield* place(order, { [product_id]: 1 })
      yield* lookedAt(order)
      expect(yield* isHeld(order)).toBe(true)
      isBehind = false
      yield* expired(order)
    }),
  )
})

const withoutLog = withDeliveries({
  ends: () => Effect.fail(new EventBusError({ operation: "ends", cause: "the log is away" })),
  caughtUp: () => Effect.succeed(true),
})

;(await onEveryDatabase([withoutLog], soon))("inventory, when a hold has expired and the log is unavailable", (it) => {
  it.effect("keeps the hold, and still applies the events that end the order", () =>
    Effect.gen(function* () {
      const [product_id, order] = [yield* aProduct(5), anOrder()]
      yield* place(order, { [product_id]: 1 })
      yield* lookedAt(order)
      expect(yield* isHeld(order)).toBe(true)
      yield* receive(order, "payment_successful")
      expect(yield* storyOf(order)).toEqual(["held", "taken"])
    }),
  )
})
