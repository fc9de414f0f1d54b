import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer } from "effect"
import type { EventType } from "../../runtime/events/Event.ts"
import { drivers } from "../../runtime/test/harness/memory.ts"
import {
  type Answer,
  behindLock,
  eventually,
  onEveryDatabase,
  pagesOf,
  Scenario,
  scenario,
  statusesOf,
  together,
} from "../../runtime/test/harness/scenario.ts"
import { InventoryRejected, InventoryUpdated } from "../inventory/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { UserCreated } from "../user/contract/events.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "./contract/events.ts"
import { order } from "./module.ts"

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u

let last = 0
const next = () => ++last

const userCreated = (user_id: number) => ({
  user_id,
  email: `ada.${user_id}@example.org`,
  name: "Ada Lovelace",
  created_at: "2026-01-02T03:04:05.678Z",
})

/** A user that the order module knows. */
const aUser = Effect.gen(function* () {
  const { publish, settled } = yield* Scenario
  const user_id = next()
  yield* publish(UserCreated, userCreated(user_id))
  yield* settled
  return user_id
})

const place = (user_id: number, amount = "100.50") =>
  Effect.gen(function* () {
    const { post } = yield* Scenario
    const { body } = yield* post("/orders", { user_id, amount })
    return body as { readonly id: number; readonly user_id: number; readonly amount: string }
  })

const anOrder = Effect.flatMap(aUser, (user_id) => place(user_id))

const get = (id: number) => Effect.flatMap(Scenario, ({ get }) => get(`/orders/${id}`))

const historyOf = (id: number) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const { body } = yield* get(`/orders/${id}/history?limit=200`)
    return body.items as ReadonlyArray<{
      event_id: string
      type: string
      status: string
      data: any
      occurred_at: string
    }>
  })

const steps = (history: ReadonlyArray<{ type: string; status: string }>) =>
  history.map(({ type, status }) => `${type}: ${status}`)

/** The published events of these types about an order, in any order. */
const publishedAbout = (id: number, ...events: ReadonlyArray<EventType>) =>
  Effect.gen(function* () {
    const { published } = yield* Scenario
    const all = yield* Effect.forEach(events, (event) => published(event))
    return all.flat().filter(({ data }) => data.order_id === id)
  })

const endingsOf = (id: number) =>
  Effect.map(publishedAbout(id, OrderProcessed, OrderFailed, OrderCancelled), (published) =>
    published.map(({ type }) => type),
  )

const cancel = (id: number, body?: unknown) =>
  Effect.flatMap(Scenario, ({ post }) => post(`/orders/${id}/cancel`, body))

interface Placed {
  readonly id: number
  readonly user_id: number
}
const paid = ({ id: order_id, user_id }: Placed, amount = "100.50") => ({
  payment_id: next(),
  order_id,
  user_id,
  amount,
})
const stock = ({ id: order_id, user_id }: Placed, change: "held" | "taken" | "released") => ({
  order_id,
  user_id,
  change,
  lines: [{ product_id: "LAPTOP001", quantity: 1, stock: 49, available: 49 }],
})

const userWaitMillis = 300

const onBoth = await onEveryDatabase([order], { USER_WAIT_MS: String(userWaitMillis) })
onBoth("the module order, alone", (it) => {
  describe("orders", () => {
    it.effect("are placed by their amount, and published", () =>
      Effect.gen(function* () {
        const { post, settled } = yield* Scenario
        const user_id = yield* aUser
        const { status, headers, body } = yield* post("/orders", { user_id, amount: 100.5 })
        const { id, created_at } = body
        expect(status).toBe(201)
        expect(headers.get("location")).toBe(`/orders/${id}`)
        expect(headers.get("content-type")).toBe("application/json")
        expect(body).toEqual({
          id: expect.any(Number),
          user_id,
          amount: "100.50",
          status: "created",
          processed: false,
          items: [],
          created_at: expect.any(String),
        })
        expect(new Date(created_at).toISOString()).toBe(created_at)

        yield* settled
        const [event, ...more] = yield* publishedAbout(id, OrderCreated)
        expect(more).toEqual([])
        expect(event).toMatchObject({ source: "/galleria/order", type: "order_created", key: String(user_id) })
        expect(event!.id).toMatch(uuidV7)
        expect(event!.data).toEqual({
          order_id: id,
          user_id,
          amount: "100.50",
          items: [],
          payment_method: "card_ok",
          steps: [],
          created_at,
        })
      }),
    )

    it.effect("are placed by their items, whose exact sum is the amount", () =>
      Effect.gen(function* () {
        const { post, settled } = yield* Scenario
        const user_id = yield* aUser
        const items = [
          { product_id: "LAPTOP001", product_name: 'Gaming "Laptop" 😀', quantity: 3, price: "19.99" },
          { product_id: "MOUSE001", quantity: 1, price: 0.1 },
          { product_id: "MOUSE001", quantity: 2, price: "0.2" },
        ]
        const kept = [
          { ...items[0], price: "19.99" },
          { ...items[1], product_name: "MOUSE001", price: "0.10" },
          { ...items[2], product_name: "MOUSE001", price: "0.20" },
        ]
        for (const amount of [{}, { amount: "60.47" }, { amount: 60.47 }]) {
          const { status, body } = yield* post("/orders", { user_id, items, payment_method: "card_slow", ...amount })
          expect(status).toBe(201)
          expect(body).toMatchObject({ amount: "60.47", items: kept })
          expect((yield* get(body.id)).body).toMatchObject({ amount: "60.47", items: kept })
          yield* settled
          expect((yield* publishedAbout(body.id, OrderCreated))[0]!.data).toMatchObject({
            amount: "60.47",
            items: kept,
            payment_method: "card_slow",
          })
        }
      }),
    )

    it.effect("are processed at once when they need no step", () =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        const { id, user_id } = yield* anOrder
        yield* settled
        const { body } = yield* get(id)
        expect(body).toMatchObject({ status: "processed", processed: true, amount: "100.50" })
        expect(body).not.toHaveProperty("reason")
        const published = yield* publishedAbout(id, OrderProcessed, OrderFailed, OrderCancelled)
        expect(published).toHaveLength(1)
        expect(published[0]).toMatchObject({ type: "order_processed", source: "/galleria/order", key: String(user_id) })
        expect(published[0]!.data).toEqual({ order_id: id, user_id, amount: "100.50" })
      }),
    )

    it.effect("have their own events in their history, each once", () =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        const { id } = yield* anOrder
        yield* settled
        const history = yield* historyOf(id)
        expect(steps(history)).toEqual(["order_created: created", "order_processed: processed"])
        const [created] = yield* publishedAbout(id, OrderCreated)
        const [processed] = yield* publishedAbout(id, OrderProcessed)
        expect(history.map(({ event_id, data }) => ({ event_id, data }))).toEqual([
          { event_id: created!.id, data: created!.data },
          { event_id: processed!.id, data: processed!.data },
        ])
        expect(history[0]!.occurred_at).toBe(created!.data.created_at)
      }),
    )

    it.effect("share a statement when many are placed at once, and each gets its own answer", () =>
      Effect.gen(function* () {
        const { post, settled, database } = yield* Scenario
        const user_id = yield* aUser
        const answers = yield* together(200, (n) => post("/orders", { user_id, amount: (n + 1) / 100 }))
        expect(statusesOf(answers)).toEqual({ 201: 200 })
        expect(answers.map(({ body }) => Number(body.amount))).toEqual(answers.map((_, n) => (n + 1) / 100))
        const ids = answers.map(({ body }) => body.id)
        expect(new Set(ids).size).toBe(200)

        yield* settled
        const transactions = yield* database("order")<{ orders: bigint }>`
            select count(*) as orders from orders o
            join order_history h on h.order_id = o.id and h.type = 'order_created'
            where o.user_id = ${user_id} group by h.xmin::text`
        expect(transactions.reduce((sum, { orders }) => sum + Number(orders), 0)).toBe(200)
        expect(transactions.length).toBeLessThan(150)
        const published = yield* Effect.forEach(answers, ({ body }) =>
          Effect.map(publishedAbout(body.id, OrderCreated), (published) => published.map(({ data }) => data.amount)),
        )
        expect(published).toEqual(answers.map(({ body }) => [body.amount]))
      }),
    )

    it.effect("are each returned to its own reader when many read at once", () =>
      Effect.gen(function* () {
        const { database } = yield* Scenario
        const ids = [(yield* anOrder).id, 9007199254740991, (yield* anOrder).id]
        const answers = yield* behindLock(
          database("order"),
          "orders",
          together(9, (n) => get(ids[n % 3]!)),
        )
        expect(answers.map(({ status }) => status)).toEqual(answers.map((_, n) => (n % 3 === 1 ? 404 : 200)))
        expect(answers.map(({ body }) => body.id ?? body.order_id)).toEqual(answers.map((_, n) => ids[n % 3]))
      }),
    )

    it.effect("are rejected when the user stays unknown too long, and leave nothing behind", () =>
      Effect.gen(function* () {
        const { post, database } = yield* Scenario
        const user_id = 9007199254740991
        const before = yield* Clock.currentTimeMillis
        const { status, body } = yield* post("/orders", { user_id, amount: 1 })
        expect((yield* Clock.currentTimeMillis) - before).toBeGreaterThanOrEqual(userWaitMillis)
        expect(status).toBe(404)
        expect(body).toMatchObject({ type: "/problems/user-not-found", user_id })
        expect(yield* database("order")`select 1 from orders where user_id = ${user_id}`).toEqual([])
        expect(yield* database("order")`select 1 from outbox where key = ${String(user_id)}`).toEqual([])
      }),
    )

    it.effect.each([
      { email: "ada@example.org", name: "Ada" },
      { email: "no address\u0000\n\ud800", name: "" },
      { email: "a".repeat(100_000), name: "Ada", age: 36, created_at: "2026-01-02T03:04:05Z" },
    ])("are placed for a user published by a foreign producer as bare JSON", (more) =>
      Effect.gen(function* () {
        const { put, post } = yield* Scenario
        const user_id = next()
        yield* put({ topic: "user_created", value: Buffer.from(JSON.stringify({ user_id, ...more })) })
        yield* eventually(Effect.map(post("/orders", { user_id, amount: 1 }), ({ status }) => expect(status).toBe(201)))
      }),
    )

    it.effect("of unknown users do not affect others in the same statement", () =>
      Effect.gen(function* () {
        const { post } = yield* Scenario
        const known = yield* aUser
        const answers = yield* together(40, (n) =>
          post("/orders", { user_id: n % 2 === 0 ? known : 9007199254740000 + n, amount: n + 1 }),
        )
        expect(answers.map(({ status }) => status)).toEqual(answers.map((_, n) => (n % 2 === 0 ? 201 : 404)))
        expect(answers.filter(({ status }) => status === 201).map(({ body }) => Number(body.amount))).toEqual(
          Array.from({ length: 20 }, (_, n) => 2 * n + 1),
        )
      }),
    )

    it.effect("are not found by an unused id", () =>
      Effect.gen(function* () {
        const { request } = yield* Scenario
        for (const [method, path] of [
          ["GET", ""],
          ["GET", "/history"],
          ["POST", "/cancel"],
        ] as const) {
          const { status, body } = yield* request(method, `/orders/9007199254740991${path}`)
          expect(status).toBe(404)
          expect(body).toMatchObject({ type: "/problems/order-not-found", order_id: 9007199254740991 })
        }
      }),
    )
  })

  describe("the list of orders", () => {
    it.effect("is newest first, and filters by user and status", () =>
      Effect.gen(function* () {
        const { get, settled } = yield* Scenario
        const [one, other] = [yield* aUser, yield* aUser]
        const placed = [yield* place(one), yield* place(other), yield* place(one)]
        yield* settled
        const ids = (query: string) =>
          Effect.map(get(`/orders?limit=200${query}`), ({ body }) =>
            body.items.map((order: { id: number }) => order.id),
          )
        const [a, b, c] = placed.map(({ id }) => id)
        expect((yield* ids("")).slice(0, 3)).toEqual([c, b, a])
        expect(yield* ids(`&user_id=${one}`)).toEqual([c, a])
        expect(yield* ids(`&user_id=${other}`)).toEqual([b])
        expect(yield* ids(`&user_id=${one}&status=processed`)).toEqual([c, a])
        expect((yield* ids("&status=processed")).slice(0, 3)).toEqual([c, b, a])
        expect(yield* ids(`&user_id=${one}&status=failed`)).toEqual([])
        expect((yield* get("/orders?user_id=9007199254740991")).body).toEqual({ items: [], next_cursor: null })
      }),
    )

    it.effect("shows an order as the single request does", () =>
      Effect.gen(function* () {
        const { get: ask, settled } = yield* Scenario
        const { id, user_id } = yield* anOrder
        yield* settled
        expect((yield* ask(`/orders?user_id=${user_id}`)).body.items).toEqual([(yield* get(id)).body])
      }),
    )

    it.effect("has each order once over all pages, while more are placed", () =>
      Effect.gen(function* () {
        const user_id = yield* aUser
        const placed = yield* Effect.forEach(Array.from({ length: 7 }), () => place(user_id))
        const pages = yield* pagesOf(`/orders?user_id=${user_id}&limit=3`, place(user_id))
        expect(pages.map((page) => page.length)).toEqual([3, 3, 1])
        expect(pages.flat().map((order) => order.id)).toEqual(placed.map(({ id }) => id).toReversed())
        const exact = yield* pagesOf(`/orders?user_id=${user_id}&limit=9`)
        expect(exact.map((page) => page.length)).toEqual([9])
      }),
    )
  })

  it.effect("parks nothing of all this", () =>
    Effect.gen(function* () {
      const { held } = yield* Scenario
      expect(yield* held("order")).toEqual([])
    }),
  )
})

const onBothPatient = await onEveryDatabase([order], { USER_WAIT_MS: "60000" })
onBothPatient("an order for a user of whom the news is under way", (it) => {
  it.effect("succeeds once it arrives, and holds no connection meanwhile", () =>
    Effect.gen(function* () {
      const { publish, post, database } = yield* Scenario
      const known = yield* aUser
      const user_id = next()
      const before = yield* Clock.currentTimeMillis
      const waiting = yield* Effect.forkChild(together(30, () => post("/orders", { user_id, amount: 5 })))
      // The embedded database has one session: a request that held it would block all others.
      const others = yield* together(30, () => post("/orders", { user_id: known, amount: 1 }))
      expect(statusesOf(others)).toEqual({ 201: 30 })
      expect(waiting.pollUnsafe()).toBeUndefined()

      yield* publish(UserCreated, userCreated(user_id))
      expect(statusesOf(yield* Fiber.join(waiting))).toEqual({ 201: 30 })
      expect((yield* Clock.currentTimeMillis) - before).toBeLessThan(60_000)
      expect(yield* database("order")`select 1 from orders where user_id = ${user_id}`).toHaveLength(30)
    }),
  )
})

const onBothCrowded = await onEveryDatabase([order], { USER_WAIT_MS: "60000" })
onBothCrowded("an order for an unknown user", (it) => {
  it.effect("is answered 503 while 256 orders wait for their user, and blocks no other request", () =>
    Effect.gen(function* () {
      const { publish, post } = yield* Scenario
      const known = yield* aUser
      const user_id = next()
      const answered: Array<Answer> = []
      const asked = together(300, () =>
        Effect.tap(post("/orders", { user_id, amount: 1 }), (answer) => Effect.sync(() => answered.push(answer))),
      )
      const asking = yield* Effect.forkChild(asked)
      yield* eventually(Effect.sync(() => expect(statusesOf(answered)).toEqual({ 503: 44 })))
      expect(new Set(answered.map(({ headers }) => headers.get("retry-after")))).toEqual(new Set(["1"]))
      expect((yield* post("/orders", { user_id: known, amount: 1 })).status).toBe(201)
      expect(statusesOf(answered)).toEqual({ 503: 44 })
      yield* publish(UserCreated, userCreated(user_id))
      yield* Fiber.join(asking)
      expect(statusesOf(answered)).toEqual({ 503: 44, 201: 256 })
    }),
  )
})

const onBothWithSteps = await onEveryDatabase([order], { ORDER_STEPS: "payment,inventory" })
onBothWithSteps("the module order, whose orders need payment and inventory", (it) => {
  it.effect("publishes its steps, and stays created", () =>
    Effect.gen(function* () {
      const { settled } = yield* Scenario
      const { id } = yield* anOrder
      yield* settled
      expect((yield* publishedAbout(id, OrderCreated))[0]!.data.steps).toEqual(["payment", "inventory"])
      expect((yield* get(id)).body).toMatchObject({ status: "created", processed: false })
      expect(yield* endingsOf(id)).toEqual([])
    }),
  )

  it.effect("is neither locked nor written by its own order_created", () =>
    Effect.gen(function* () {
      const { publish, settled, database } = yield* Scenario
      const { id, user_id } = yield* anOrder
      yield* publish(OrderCreated, { order_id: id, user_id, amount: "100.50" })
      yield* settled
      // A row that was ever locked or changed says by which transaction in its xmax.
      const sql = database("order")
      expect(yield* sql`select xmax::text from orders where id = ${id}`).toEqual([{ xmax: "0" }])
      yield* Effect.asVoid(sql.withTransaction(sql`select 1 from orders where id = ${id} for update`))
      expect(yield* sql`select xmax::text from orders where id = ${id}`).not.toEqual([{ xmax: "0" }])
    }),
  )

  it.effect("is paid, then processed, with both in its history", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      yield* publish(InventoryUpdated, stock(order, "held"))
      yield* settled
      expect((yield* get(order.id)).body.status).toBe("created")
      const payment = paid(order)
      const event_id = yield* publish(PaymentSuccessful, payment)
      yield* settled
      expect((yield* get(order.id)).body).toMatchObject({ status: "paid", processed: false })
      yield* publish(InventoryUpdated, stock(order, "taken"))
      yield* settled
      expect((yield* get(order.id)).body).toMatchObject({ status: "processed", processed: true })

      const history = yield* historyOf(order.id)
      expect(steps(history)).toEqual([
        "order_created: created",
        "inventory_updated: created",
        "payment_successful: paid",
        "inventory_updated: processed",
        "order_processed: processed",
      ])
      expect(history[2]).toMatchObject({ event_id, data: payment })
      expect(yield* endingsOf(order.id)).toEqual(["order_processed"])
    }),
  )

  it.effect("is processed by the same events in reverse order", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      yield* publish(InventoryUpdated, stock(order, "taken"))
      yield* settled
      expect((yield* get(order.id)).body.status).toBe("created")
      yield* publish(PaymentSuccessful, paid(order))
      yield* settled
      expect((yield* get(order.id)).body.status).toBe("processed")
      expect(yield* endingsOf(order.id)).toEqual(["order_processed"])
    }),
  )

  it.effect("applies many events in one transaction as if one by one", () =>
    Effect.gen(function* () {
      const { publish, publishAll, settled } = yield* Scenario
      const [one, other] = [yield* anOrder, yield* anOrder]
      yield* publish(PaymentSuccessful, paid(one))
      yield* settled
      yield* publishAll(InventoryUpdated, [
        stock(one, "held"),
        stock(other, "held"),
        stock(one, "taken"),
        stock(one, "released"),
        stock(other, "released"),
      ])
      yield* settled
      expect(steps(yield* historyOf(one.id))).toEqual([
        "order_created: created",
        "payment_successful: paid",
        "inventory_updated: paid",
        "inventory_updated: processed",
        "order_processed: processed",
        "inventory_updated: processed",
      ])
      expect(steps(yield* historyOf(other.id))).toEqual([
        "order_created: created",
        "inventory_updated: created",
        "inventory_updated: created",
      ])
      expect(yield* endingsOf(one.id)).toEqual(["order_processed"])
    }),
  )

  const publish = <E extends EventType>(event: E, data: E["data"]["Encoded"]) =>
    Effect.flatMap(Scenario, ({ publish }) => publish(event, data))

  it.effect.each([
    [PaymentFailed, "card_declined"],
    [PaymentRefunded, "hold_expired"],
    [InventoryRejected, "out_of_stock"],
  ] as const)("fails for the reason $1, which an event of payment or inventory gives", ([event, reason]) =>
    Effect.gen(function* () {
      const { settled } = yield* Scenario
      const order = yield* anOrder
      yield* publish<EventType>(event, { ...paid(order), reason })
      yield* settled
      expect((yield* get(order.id)).body).toMatchObject({ status: "failed", processed: false, reason })
      const [published, ...more] = yield* publishedAbout(order.id, OrderProcessed, OrderFailed, OrderCancelled)
      expect(more).toEqual([])
      expect(published!.data).toEqual({ order_id: order.id, user_id: order.user_id, amount: "100.50", reason })
      expect(steps(yield* historyOf(order.id))).toEqual([
        "order_created: created",
        `${event.type}: failed`,
        "order_failed: failed",
      ])
    }),
  )

  it.effect("fails when its payment was declined with any text as reason, which becomes one line", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      const reason = `do\u0000not\r\nhonour\ud800${"!".repeat(1_000)}`
      yield* publish(PaymentFailed, { ...paid(order), reason })
      yield* settled
      const { body } = yield* get(order.id)
      expect(body).toMatchObject({ status: "failed", reason: `do not honour\ufffd${"!".repeat(486)}` })
      expect((yield* publishedAbout(order.id, OrderFailed))[0]!.data.reason).toBe(body.reason)
      expect((yield* historyOf(order.id))[1]!.data.reason).toBe(reason)
    }),
  )

  it.effect("ignores events after its end, but records them", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      yield* cancel(order.id, { reason: "too late" })
      yield* publish(PaymentSuccessful, paid(order))
      yield* settled
      yield* publish(InventoryUpdated, stock(order, "taken"))
      yield* settled
      yield* publish(PaymentRefunded, { ...paid(order), reason: "order_cancelled" })
      yield* settled
      expect((yield* get(order.id)).body).toMatchObject({ status: "cancelled", reason: "too late" })
      expect(steps(yield* historyOf(order.id))).toEqual([
        "order_created: created",
        "order_cancelled: cancelled",
        "payment_successful: cancelled",
        "inventory_updated: cancelled",
        "payment_refunded: cancelled",
      ])
      expect(yield* endingsOf(order.id)).toEqual(["order_cancelled"])
    }),
  )

  it.effect("applies a copy once, and a repeated event once", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      const payment = paid(order)
      const event_id = yield* publish(PaymentSuccessful, payment)
      yield* publish(PaymentSuccessful, payment, event_id)
      yield* settled
      yield* publish(PaymentSuccessful, payment, event_id)
      yield* settled
      expect(steps(yield* historyOf(order.id))).toEqual(["order_created: created", "payment_successful: paid"])
      yield* publish(PaymentSuccessful, payment)
      yield* settled
      expect(steps(yield* historyOf(order.id)).slice(1)).toEqual([
        "payment_successful: paid",
        "payment_successful: paid",
      ])
      expect((yield* get(order.id)).body.status).toBe("paid")
    }),
  )

  it.effect("keeps a foreign producer's bare JSON in its history, as received", () =>
    Effect.gen(function* () {
      const { put, settled } = yield* Scenario
      const order = yield* anOrder
      const data = { currency: { code: "€", "": [null, "\u0000\n\ud800"] }, ...paid(order), amount: 100.5 }
      yield* put({ topic: "payment_successful", value: Buffer.from(JSON.stringify(data)) })
      yield* settled
      expect((yield* get(order.id)).body.status).toBe("paid")
      const [, learned] = yield* historyOf(order.id)
      expect(learned).toMatchObject({ type: "payment_successful", status: "paid" })
      expect(JSON.stringify(learned!.data)).toBe(JSON.stringify(data))
    }),
  )

  it.effect("keeps in its history members that this release does not know, of each fact", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      const later = { note: "of a later release", nested: { list: [1, { a: "b" }] } }
      const published: ReadonlyArray<readonly [EventType, object]> = [
        [
          InventoryUpdated,
          { ...stock(order, "held"), ...later, lines: [{ ...stock(order, "held").lines[0], ...later }] },
        ],
        [PaymentSuccessful, { ...paid(order), ...later }],
        [InventoryRejected, { order_id: order.id, user_id: order.user_id, reason: "hold_expired", ...later }],
        [PaymentRefunded, { ...paid(order), reason: "hold_expired", ...later }],
        [PaymentFailed, { ...paid(order), reason: "card_declined", ...later }],
      ]
      for (const [event, data] of published) {
        yield* publish(event, data)
        yield* settled
      }
      const history = (yield* historyOf(order.id)).filter(({ type }) => !type.startsWith("order_"))
      expect(history.map(({ type, data }) => [type, data])).toEqual(
        published.map(([event, data]) => [event.type, data]),
      )
    }),
  )

  it.effect("pages through its history, each event once, while more events arrive", () =>
    Effect.gen(function* () {
      const { publish, settled } = yield* Scenario
      const order = yield* anOrder
      const more = Effect.andThen(
        Effect.suspend(() => publish(InventoryUpdated, stock(order, "held"))),
        settled,
      )
      for (let n = 0; n < 5; n++) yield* more
      const pages = yield* pagesOf(`/orders/${order.id}/history?limit=2`, more)
      const whole = yield* historyOf(order.id)
      expect(pages.flat()).toEqual(whole)
      expect(whole.length).toBe(6 + pages.length - 1)
    }),
  )

  describe("cancelled", () => {
    it.effect("shows that, also after a second cancellation", () =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        const { id, user_id } = yield* anOrder
        const first = yield* cancel(id, { reason: "no longer needed" })
        expect(first.status).toBe(200)
        expect(first.body).toMatchObject({ id, status: "cancelled", processed: false, reason: "no longer needed" })
        const second = yield* cancel(id, { reason: "another reason" })
        expect({ status: second.status, body: second.body }).toEqual({ status: 200, body: first.body })
        expect((yield* get(id)).body).toEqual(first.body)
        yield* settled
        const [published, ...more] = yield* publishedAbout(id, OrderProcessed, OrderFailed, OrderCancelled)
        expect(more).toEqual([])
        expect(published).toMatchObject({ type: "order_cancelled", key: String(user_id) })
        expect(published!.data).toEqual({ order_id: id, user_id, amount: "100.50", reason: "no longer needed" })
        expect(steps(yield* historyOf(id))).toEqual(["order_created: created", "order_cancelled: cancelled"])
      }),
    )

    it.effect.each([undefined, {}, { unknown: true }])("needs no reason: %j", (body) =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        const { id } = yield* anOrder
        const { status, body: answer } = yield* cancel(id, body)
        expect(status).toBe(200)
        expect(answer).toMatchObject({ id, status: "cancelled" })
        expect(answer).not.toHaveProperty("reason")
        yield* settled
        expect((yield* publishedAbout(id, OrderCancelled))[0]!.data).not.toHaveProperty("reason")
      }),
    )

    it.effect("may be a paid order", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const order = yield* anOrder
        yield* publish(PaymentSuccessful, paid(order))
        yield* settled
        expect((yield* cancel(order.id)).body.status).toBe("cancelled")
      }),
    )

    it.effect("cannot be a processed or failed order", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const [processed, failed] = [yield* anOrder, yield* anOrder]
        yield* publish(PaymentSuccessful, paid(processed))
        yield* publish(InventoryUpdated, stock(processed, "taken"))
        yield* publish(PaymentFailed, { ...paid(failed), reason: "card_declined" })
        yield* settled
        for (const [{ id }, status] of [
          [processed, "processed"],
          [failed, "failed"],
        ] as const) {
          const before = (yield* get(id)).body
          const refused = yield* cancel(id, { reason: "too late" })
          expect(refused.status).toBe(409)
          expect(refused.body).toMatchObject({
            type: "/problems/order-not-cancellable",
            order_id: id,
            order_status: status,
          })
          expect((yield* get(id)).body).toEqual(before)
        }
      }),
    )

    it.effect("or processed, an order ends once, in any race", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const orders = yield* Effect.forEach(Array.from({ length: 12 }), () => anOrder)
        yield* Effect.forEach(
          orders,
          (order, n) =>
            Effect.all(
              [
                publish(PaymentSuccessful, paid(order)),
                publish(InventoryUpdated, stock(order, "taken")),
                Effect.andThen(Effect.sleep(n * 3), cancel(order.id)),
                cancel(order.id).pipe(Effect.delay(n * 3)),
              ],
              { concurrency: "unbounded" },
            ),
          { concurrency: "unbounded" },
        )
        yield* settled
        for (const { id } of orders) {
          const { status } = (yield* get(id)).body
          expect(["processed", "cancelled"]).toContain(status)
          expect(yield* endingsOf(id)).toEqual([`order_${status}`])
        }
      }),
    )
  })

  it.effect("parks a payment of another amount, and holds back later payments of that order alone", () =>
    Effect.gen(function* () {
      const { publish, settled, held } = yield* Scenario
      const order = yield* anOrder
      const [next, other] = [yield* place(order.user_id), yield* anOrder]
      yield* publish(PaymentSuccessful, paid(order, "100.49"))
      yield* publish(PaymentSuccessful, paid(order))
      yield* publish(PaymentSuccessful, paid(next))
      yield* publish(PaymentSuccessful, paid(other))
      yield* publish(InventoryUpdated, stock(order, "taken"))
      yield* settled
      const key = `order_id:${order.id}`
      const entries = (yield* held("order")).filter((entry) => entry.key === key)
      expect(entries).toEqual([
        {
          reaction: "order.learn-paid",
          key,
          status: "parked",
          reason: "rejected",
          error: expect.stringContaining("amount"),
        },
        { reaction: "order.learn-paid", key, status: "waiting", reason: null, error: null },
      ])
      expect(steps(yield* historyOf(order.id))).toEqual(["order_created: created", "inventory_updated: created"])
      for (const { id } of [next, other]) expect((yield* get(id)).body.status).toBe("paid")
    }),
  )

  it.effect.each([
    [OrderCreated, "order.start"],
    [PaymentSuccessful, "order.learn-paid"],
    [PaymentFailed, "order.learn-declined"],
    [PaymentRefunded, "order.learn-refunded"],
    [InventoryUpdated, "order.learn-stock"],
    [InventoryRejected, "order.learn-rejected"],
  ] as const)(
    "holds back, in $1, later events of the order alone, not those of its user's other orders",
    ([event, reaction]) =>
      Effect.gen(function* () {
        const { put, settled, held } = yield* Scenario
        const order = yield* anOrder
        const other = yield* place(order.user_id)
        const send = (data: object) =>
          put({ topic: event.type, key: String(order.user_id), value: Buffer.from(JSON.stringify(data)) })
        const said = { ...paid(order), ...stock(order, "held"), reason: "out_of_stock", shortages: [] }
        yield* send({ ...said, amount: "much", change: "?", reason: 5 })
        yield* send(said)
        yield* send({ ...said, order_id: other.id })
        yield* settled
        const entries = (yield* held("order")).filter(({ key }) => key?.startsWith("order_id:"))
        expect(entries.filter(({ key }) => key === `order_id:${order.id}`)).toMatchObject([
          { reaction, status: "retrying", reason: "schema" },
          { reaction, status: "waiting" },
        ])
        expect(entries.filter(({ key }) => key === `order_id:${other.id}`)).toEqual([])
        const learned = event === OrderCreated ? 1 : 2
        expect(yield* historyOf(order.id)).toHaveLength(1)
        expect((yield* historyOf(other.id)).filter(({ type }) => !type.startsWith("order_f"))).toHaveLength(learned)
      }),
  )

  it.effect("leaves an order of the first designs' bare JSON to its producer, and holds back nothing", () =>
    Effect.gen(function* () {
      const { put, settled, held } = yield* Scenario
      const own = yield* anOrder
      for (const order_id of [own.id, 9007199254740989]) {
        const value = Buffer.from(`{"order_id":${order_id},"user_id":${own.user_id},"amount":"100.50"}`)
        yield* put({ topic: "order_created", value })
      }
      yield* settled
      expect((yield* held("order")).filter(({ key }) => key === `order_id:${own.id}`)).toEqual([])
      expect((yield* get(own.id)).body.status).toBe("created")
      expect((yield* get(9007199254740989)).status).toBe(404)
    }),
  )

  it.effect("ignores an order of a foreign producer, and continues with its user's own orders", () =>
    Effect.gen(function* () {
      const { publish, settled, held } = yield* Scenario
      const user_id = yield* aUser
      const theirs = { order_id: 9007199254740990, user_id, amount: "5.00", items: [], payment_method: "card_ok" }
      yield* publish(OrderCreated, { ...theirs, steps: [], created_at: "2026-01-02T03:04:05.678Z" })
      const own = yield* place(user_id)
      yield* publish(PaymentSuccessful, paid(own))
      yield* settled
      const keys = [theirs.order_id, own.id].map((id) => `order_id:${id}`)
      expect((yield* held("order")).filter(({ key }) => keys.includes(key!))).toEqual([])
      expect((yield* get(own.id)).body.status).toBe("paid")
      expect((yield* get(theirs.order_id)).status).toBe(404)
    }),
  )

  it.effect("parks an event about an order that it does not have, and nothing else of the same batch", () =>
    Effect.gen(function* () {
      const { publishAll, settled, held } = yield* Scenario
      const [one, two] = [yield* anOrder, yield* anOrder]
      const nobodys = { id: 9007199254740991, user_id: next() }
      yield* publishAll(PaymentSuccessful, [paid(one), paid(nobodys), paid(two)])
      yield* settled
      const entries = (yield* held("order")).filter(({ key }) => key === `order_id:${nobodys.id}`)
      expect(entries).toMatchObject([
        {
          reaction: "order.learn-paid",
          status: "parked",
          reason: "rejected",
          error: expect.stringContaining(String(nobodys.id)),
        },
      ])
      for (const { id } of [one, two]) expect((yield* get(id)).body.status).toBe("paid")
    }),
  )
})

describe("the module order, started again with other ORDER_STEPS", () => {
  it.live("ends each order by the steps that it was placed with", () =>
    Effect.gen(function* () {
      const site = Layer.succeedContext(yield* Layer.build(drivers()))
      const life = <A, E>(ORDER_STEPS: string, lived: Effect.Effect<A, E, Scenario>) =>
        Effect.provide(lived, scenario([order], { ORDER_STEPS }, site))
      const learn = <E extends EventType>(event: E, data: E["data"]["Encoded"]) =>
        Effect.flatMap(Scenario, ({ publish, settled }) => Effect.andThen(publish(event, data), settled))
      const statusOf = ({ id }: Placed) => Effect.map(get(id), ({ body }) => body.status as string)

      const [one, two, three] = yield* life("payment", Effect.all([anOrder, anOrder, anOrder]))
      const later = yield* life(
        "inventory",
        Effect.gen(function* () {
          yield* learn(PaymentSuccessful, paid(one))
          expect(yield* statusOf(one)).toBe("processed")
          yield* learn(InventoryUpdated, stock(two, "taken"))
          expect(yield* statusOf(two)).toBe("created")
          return yield* anOrder
        }),
      )
      yield* life(
        "none",
        Effect.gen(function* () {
          yield* learn(PaymentSuccessful, paid(two))
          yield* learn(PaymentSuccessful, paid(later))
          expect([yield* statusOf(two), yield* statusOf(later)]).toEqual(["processed", "paid"])
          yield* learn(InventoryUpdated, stock(later, "taken"))
          expect([yield* statusOf(later), yield* statusOf(three)]).toEqual(["processed", "created"])
          const last = yield* anOrder
          yield* (yield* Scenario).settled
          expect(yield* statusOf(last)).toBe("processed")
        }),
      )
    }),
  )
})
