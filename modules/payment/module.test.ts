import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Layer, Redacted } from "effect"
import { encode } from "../../runtime/events/cloudEvents.ts"
import { Databases } from "../../runtime/sql/Database.ts"
import { databaseAt } from "../../runtime/sql/postgres/PostgresDatabase.ts"
import { drivers } from "../../runtime/test/harness/memory.ts"
import { newDatabase, realPostgres } from "../../runtime/test/harness/postgres.ts"
import { eventually, onEveryDatabase, pagesOf, Scenario, scenario } from "../../runtime/test/harness/scenario.ts"
import { InventoryRejected, InventoryUpdated } from "../inventory/contract/events.ts"
import { OrderCancelled, OrderCreated } from "../order/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "./contract/events.ts"
import { payment } from "./module.ts"

let last = 0
const next = () => ++last

interface Order {
  readonly order_id: number
  readonly user_id: number
  /** The id of its order_created, and so the key at the provider. */
  readonly key: string
}

/** Publishes a new order, by default one that needs only payment. */
const anOrder = (payment_method = "card_ok", steps: ReadonlyArray<"payment" | "inventory"> = ["payment"]) =>
  Effect.gen(function* () {
    const { publish } = yield* Scenario
    const order = { order_id: next(), user_id: next() }
    const key = yield* publish(OrderCreated, { ...order, amount: "100.5", payment_method, steps })
    return { ...order, key } satisfies Order
  })

const stock = ({ order_id, user_id }: Order, change: "held" | "taken" | "released") =>
  Effect.flatMap(Scenario, ({ publish }) => publish(InventoryUpdated, { order_id, user_id, change, lines: [] }))

const reject = ({ order_id, user_id }: Order, reason: "out_of_stock" | "hold_expired") =>
  Effect.flatMap(Scenario, ({ publish }) => publish(InventoryRejected, { order_id, user_id, reason }))

const cancel = ({ order_id, user_id }: Order) =>
  Effect.flatMap(Scenario, ({ publish }) =>
    publish(OrderCancelled, { order_id, user_id, amount: "100.50", reason: "ordered twice" }),
  )

/** The payment of an order as it is shown, undefined: there is none. */
const paymentOf = ({ order_id }: Order) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const { body } = yield* get(`/payments?order_id=${order_id}`)
    expect(body.items.length).toBeLessThanOrEqual(1)
    return body.items[0] as { id: number; status: string; reason?: string } | undefined
  })

/** Waits until the payment has that status and everything is published. */
const becomes = (order: Order, status: string) =>
  Effect.gen(function* () {
    const { settled } = yield* Scenario
    yield* eventually(Effect.map(paymentOf(order), (payment) => expect(payment?.status).toBe(status)))
    yield* settled
    return (yield* paymentOf(order))!
  })

/** The published events about the payment of an order. */
const publishedAbout = ({ order_id }: Order) =>
  Effect.gen(function* () {
    const { published } = yield* Scenario
    const all = yield* Effect.forEach([PaymentSuccessful, PaymentFailed, PaymentRefunded], published)
    return all.flat().filter(({ data }) => data.order_id === order_id)
  })
const typesOf = (order: Order) => Effect.map(publishedAbout(order), (published) => published.map(({ type }) => type))

const database = Effect.map(Scenario, ({ database }) => database("payment"))

/** What the sandbox charged and refunded for an order. */
const ledgerOf = ({ key }: Order) =>
  Effect.gen(function* () {
    const sql = yield* database
    const rows = yield* sql<{ amount: string; refund_key: string | null }>`
      select amount, refund_key from payment_sandbox.charges where key = ${key}`
    return rows.map(({ amount, refund_key }) => ({ amount, refunded: refund_key === `${key}-refund` }))
  })
const kept = [{ amount: "100.50", refunded: false }]
const givenBack = [{ amount: "100.50", refunded: true }]

const callOf = ({ order_id }: Order) =>
  Effect.gen(function* () {
    const sql = yield* database
    const rows = yield* sql<{ call: string }>`select call from payments where order_id = ${order_id}`
    return rows[0]?.call
  })

/** Waits until a call was made that has no answer. */
const unanswered = (order: Order) =>
  eventually(Effect.map(callOf(order), (call) => expect(["out", "unknown"]).toContain(call)))

/** As if that many seconds had passed since the order might be charged: its task is due. */
const passed = ({ order_id }: Order, seconds: number) =>
  Effect.gen(function* () {
    const sql = yield* database
    yield* sql`
      update payments set chargeable_at = chargeable_at - ${seconds} * interval '1 second' where order_id = ${order_id}`
    yield* sql`update task set due = now() where id = ${String(order_id)}`
  })

/** Puts off the next call for an order; nothing when one is under way. Whether it did. */
const putOff = ({ order_id }: Order) =>
  Effect.gen(function* () {
    const sql = yield* database
    const rows = yield* sql`
      update task set due = now() + interval '1 hour' where id = ${String(order_id)} and holder is null returning 1`
    return rows.length === 1
  })

const requestsOf = ({ key }: Order) =>
  Effect.gen(function* () {
    const sql = yield* database
    return yield* sql`select 1 from payment_sandbox.requests where key = ${key}`
  })

const onBoth = await onEveryDatabase([payment])
onBoth("the module payment, alone", (it) => {
  describe("an order that needs payment and inventory", () => {
    it.effect("is charged once its stock is held, and publishes that", () =>
      Effect.gen(function* () {
        const { settled, get } = yield* Scenario
        const order = yield* anOrder("card_ok", ["payment", "inventory"])
        yield* settled
        const pending = yield* becomes(order, "pending")
        expect(pending).toEqual({
          id: expect.any(Number),
          order_id: order.order_id,
          user_id: order.user_id,
          amount: "100.50",
          status: "pending",
          created_at: expect.any(String),
        })
        expect(yield* requestsOf(order)).toEqual([])

        yield* stock(order, "released")
        yield* stock(order, "held")
        const paid = yield* becomes(order, "successful")
        expect(paid).toEqual({ ...pending, status: "successful" })
        expect((yield* get(`/payments/${paid.id}`)).body).toEqual(paid)
        expect(yield* ledgerOf(order)).toEqual(kept)
        const [event, ...more] = yield* publishedAbout(order)
        expect(more).toEqual([])
        expect(event).toMatchObject({
          type: "payment_successful",
          source: "/galleria/payment",
          key: String(order.user_id),
          data: { payment_id: paid.id, order_id: order.order_id, user_id: order.user_id, amount: "100.50" },
        })
        yield* stock(order, "taken")
        yield* settled
        expect((yield* paymentOf(order))!.status).toBe("successful")
      }),
    )

    it.effect("fails without an event when it is cancelled or rejected before, and is never charged", () =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        const [one, other] = [
          yield* anOrder("card_ok", ["payment", "inventory"]),
          yield* anOrder("card_ok", ["payment", "inventory"]),
        ]
        yield* settled
        yield* cancel(one)
        yield* reject(other, "out_of_stock")
        expect(yield* becomes(one, "failed")).toMatchObject({ reason: "order_cancelled" })
        expect(yield* becomes(other, "failed")).toMatchObject({ reason: "out_of_stock" })
        yield* stock(one, "held")
        yield* settled
        for (const order of [one, other]) {
          expect(yield* typesOf(order)).toEqual([])
          expect(yield* requestsOf(order)).toEqual([])
        }
      }),
    )

    it.effect("may be published by a foreign producer, with three members", () =>
      Effect.gen(function* () {
        const { put } = yield* Scenario
        const order = { order_id: next(), user_id: next(), key: "" }
        yield* put({
          topic: "order_created",
          value: Buffer.from(JSON.stringify({ ...order, key: undefined, amount: 7 })),
        })
        yield* becomes(order, "pending")
        yield* stock(order, "held")
        expect(yield* becomes(order, "successful")).toMatchObject({ amount: "7.00" })
      }),
    )
  })

  describe("events that arrive before order_created", () => {
    it.effect("are recorded, and not shown", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const [held, cancelled, rejected] = [1, 2, 3].map(() => ({ order_id: next(), user_id: next(), key: "" }))
        yield* stock(held!, "held")
        yield* cancel(cancelled!)
        yield* stock(rejected!, "held")
        yield* reject(rejected!, "hold_expired")
        yield* settled
        const orders: Array<Order> = []
        for (const { order_id, user_id } of [held!, cancelled!, rejected!]) {
          expect(yield* paymentOf({ order_id, user_id, key: "" })).toBeUndefined()
          const steps = ["payment", "inventory"] as const
          const key = yield* publish(OrderCreated, { order_id, user_id, amount: "100.50", steps })
          orders.push({ order_id, user_id, key })
        }
        yield* becomes(orders[0]!, "successful")
        expect(yield* ledgerOf(orders[0]!)).toEqual(kept)
        expect(yield* becomes(orders[1]!, "failed")).toMatchObject({ reason: "order_cancelled" })
        expect(yield* becomes(orders[2]!, "failed")).toMatchObject({ reason: "hold_expired" })
        for (const order of orders.slice(1)) {
          expect(yield* typesOf(order)).toEqual([])
          expect(yield* requestsOf(order)).toEqual([])
        }
      }),
    )

    it.effect("cause no payment for an order without the step payment", () =>
      Effect.gen(function* () {
        const { settled, get } = yield* Scenario
        const order = yield* anOrder("card_ok", ["inventory"])
        yield* stock(order, "held")
        yield* cancel(order)
        yield* settled
        expect(yield* paymentOf(order)).toBeUndefined()
        expect(yield* requestsOf(order)).toEqual([])
        expect((yield* get("/payments?limit=200")).body.items.every(({ id }: { id: unknown }) => id !== null)).toBe(
          true,
        )
      }),
    )
  })

  describe("the sandbox", () => {
    it.effect("does what each token says", () =>
      Effect.gen(function* () {
        const expected = {
          card_ok: ["successful", undefined, kept],
          card_declined: ["failed", "card_declined", []],
          card_expired: ["failed", "card_expired", []],
          card_slow: ["successful", undefined, kept],
          card_timeout: ["successful", undefined, kept],
          card_flaky: ["successful", undefined, kept],
          card_unheard_of: ["failed", "unknown_payment_method", []],
        } as const
        const began = yield* Clock.currentTimeMillis
        const orders = yield* Effect.forEach(Object.keys(expected), (token) => anOrder(token))
        for (const [n, [status, reason, ledger]] of Object.values(expected).entries()) {
          const order = orders[n]!
          const shown = yield* becomes(order, status)
          expect([Object.keys(expected)[n], shown.reason]).toEqual([Object.keys(expected)[n], reason])
          expect(yield* ledgerOf(order)).toEqual(ledger)
          const published = yield* publishedAbout(order)
          expect(published.map(({ type }) => type)).toEqual([`payment_${status}`])
          const { order_id, user_id } = order
          const data = { payment_id: shown.id, order_id, user_id, amount: "100.50" }
          expect(published[0]!.data).toEqual(reason === undefined ? data : { ...data, reason })
        }
        expect((yield* Clock.currentTimeMillis) - began).toBeLessThan(15_000)
      }),
    )

    it.effect("keeps a payment pending while card_down fails", () =>
      Effect.gen(function* () {
        const order = yield* anOrder("card_down")
        yield* eventually(Effect.map(callOf(order), (call) => expect(call).toBe("unknown")))
        expect((yield* paymentOf(order))!.status).toBe("pending")
        expect(yield* ledgerOf(order)).toEqual([])
      }),
    )
  })

  describe("an order that fails or is cancelled", () => {
    it.effect("is refunded once if it was charged, however often the event is repeated", () =>
      Effect.gen(function* () {
        const { settled } = yield* Scenario
        const [one, other] = [yield* anOrder(), yield* anOrder()]
        yield* becomes(one, "successful")
        yield* becomes(other, "successful")
        yield* cancel(one)
        yield* cancel(one)
        yield* reject(other, "hold_expired")
        const back = yield* becomes(one, "refunded")
        expect(back.reason).toBe("order_cancelled")
        expect(yield* becomes(other, "refunded")).toMatchObject({ reason: "hold_expired" })
        yield* reject(one, "out_of_stock")
        yield* settled
        for (const order of [one, other]) {
          expect(yield* ledgerOf(order)).toEqual(givenBack)
          expect(yield* typesOf(order)).toEqual(["payment_successful", "payment_refunded"])
        }
        const { order_id, user_id } = one
        expect((yield* publishedAbout(one))[1]!.data).toEqual({
          payment_id: back.id,
          order_id,
          user_id,
          amount: "100.50",
          reason: "order_cancelled",
        })
      }),
    )

    it.effect("is charged and refunded when a call was out already, or charged and its answer was lost", () =>
      Effect.gen(function* () {
        const orders = [yield* anOrder("card_slow"), yield* anOrder("card_timeout")]
        for (const order of orders) {
          yield* unanswered(order)
          yield* cancel(order)
        }
        for (const order of orders) {
          yield* becomes(order, "refunded")
          expect(yield* typesOf(order)).toEqual(["payment_successful", "payment_refunded"])
          expect(yield* ledgerOf(order)).toEqual(givenBack)
        }
      }),
    )

    it.effect("fails without an event when the provider knows no charge", () =>
      Effect.gen(function* () {
        const order = yield* anOrder("card_flaky")
        yield* eventually(Effect.map(callOf(order), (call) => expect(call).toBe("unknown")))
        yield* cancel(order)
        expect(yield* becomes(order, "failed")).toMatchObject({ reason: "order_cancelled" })
        expect(yield* typesOf(order)).toEqual([])
        expect(yield* ledgerOf(order)).toEqual([])
      }),
    )
  })

  describe("what repeats", () => {
    it.effect("charges nothing again: copies, and a replayed history", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const order = yield* anOrder()
        const { order_id, user_id, key } = order
        yield* becomes(order, "successful")
        const created = { order_id, user_id, amount: "100.50", steps: ["payment"] as const }
        yield* publish(OrderCreated, created, key)
        const again = yield* publish(OrderCreated, { ...created, amount: "1.00" })
        yield* settled
        expect(yield* ledgerOf(order)).toEqual(kept)
        expect(yield* requestsOf({ ...order, key: again })).toEqual([])
        expect(yield* typesOf(order)).toEqual(["payment_successful"])
      }),
    )

    it.effect("of a process that died between charge and record is looked up, not charged again", () =>
      Effect.gen(function* () {
        const sql = yield* database
        const order = yield* anOrder("card_ok", ["payment", "inventory"])
        const { order_id, key } = order
        yield* becomes(order, "pending")
        // As the process leaves it: marked as out, and charged.
        yield* sql`insert into payment_sandbox.requests (key, payment_method, attempts) values (${key}, 'card_ok', 1)`
        yield* sql`insert into payment_sandbox.charges (key, amount, charged_at) values (${key}, 100.50, now())`
        yield* sql`update payments set go = true, call = 'out', chargeable_at = now() where order_id = ${order_id}`
        yield* sql`insert into task (name, id, due, attempts, holder, created_at)
          values ('payment.charge', ${String(order_id)}, now(), 1, 'gone', now())`
        yield* becomes(order, "successful")
        expect(yield* ledgerOf(order)).toEqual(kept)
        expect(yield* sql`select 1 from payment_sandbox.requests where key = ${key} and attempts > 1`).toEqual([])
        expect(yield* sql`select 1 from task where id = ${String(order_id)}`).toEqual([])
      }),
    )
  })

  it.effect("adds up over many orders at once, some cancelled at any moment", () =>
    Effect.gen(function* () {
      const { publishAll, settled } = yield* Scenario
      const sql = yield* database
      const tokens = ["card_ok", "card_declined", "card_timeout", "card_ok"]
      const orders = Array.from({ length: 60 }, () => ({ order_id: next(), user_id: next() }))
      const cancelled = orders.filter((_, n) => n % 3 === 0)
      const cancellations = cancelled.map((order) => ({ ...order, amount: "2.50" }))
      yield* publishAll(OrderCancelled, cancellations.slice(0, 5))
      yield* Effect.all(
        [
          publishAll(
            OrderCreated,
            orders.map((order, n) => ({
              ...order,
              amount: "2.50",
              payment_method: tokens[n % tokens.length]!,
              steps: ["payment" as const],
            })),
          ),
          Effect.andThen(Effect.sleep("50 millis"), publishAll(OrderCancelled, cancellations.slice(5))),
        ],
        { concurrency: "unbounded" },
      )
      const first = orders[0]!.order_id
      yield* eventually(
        Effect.gen(function* () {
          yield* settled
          const open = yield* sql`
            select 1 from payments where order_id >= ${first} and (status = 'pending' or (status = 'successful' and stop is not null))`
          expect(open).toEqual([])
        }),
      )
      const rows = yield* sql<{ status: string; charged: boolean; refunded: boolean; stopped: boolean }>`
        select p.status, c.key is not null as charged, c.refund_key is not null as refunded, p.stop is not null as stopped
        from payments p left join payment_sandbox.charges c on c.key = p.key where p.order_id >= ${first}`
      expect(rows).toHaveLength(60)
      for (const { status, charged, refunded, stopped } of rows) {
        expect({ status, charged, refunded }).toEqual({
          status,
          charged: status !== "failed",
          refunded: status === "refunded",
        })
        if (stopped) expect(["failed", "refunded"]).toContain(status)
      }
      const successful = rows.filter(({ status }) => status === "successful")
      expect(successful).toHaveLength(30)
    }),
  )

  describe("the list of payments", () => {
    it.effect("is newest first, and filters by order, user and status", () =>
      Effect.gen(function* () {
        const { get, publish } = yield* Scenario
        const user_id = next()
        const orders: Array<Order> = []
        for (const payment_method of ["card_ok", "card_declined", "card_ok"]) {
          const order = { order_id: next(), user_id }
          const key = yield* publish(OrderCreated, { ...order, amount: "1", payment_method, steps: ["payment"] })
          orders.push({ ...order, key })
          yield* becomes(orders.at(-1)!, payment_method === "card_ok" ? "successful" : "failed")
        }
        const of = (query: string) =>
          Effect.map(get(`/payments?${query}`), ({ body }) =>
            body.items.map((item: { order_id: number }) => orders.findIndex((one) => one.order_id === item.order_id)),
          )
        expect(yield* of(`user_id=${user_id}`)).toEqual([2, 1, 0])
        expect(yield* of(`user_id=${user_id}&status=failed`)).toEqual([1])
        expect(yield* of(`order_id=${orders[2]!.order_id}`)).toEqual([2])
        expect(yield* of(`order_id=${orders[2]!.order_id}&status=refunded`)).toEqual([])
        expect((yield* pagesOf(`/payments?user_id=${user_id}&limit=2`)).map((page) => page.length)).toEqual([2, 1])
        expect((yield* get("/payments?user_id=9007199254740991")).body).toEqual({ items: [], next_cursor: null })
      }),
    )

    it.effect("rejects invalid filters, and names every fault", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const { status, body } = yield* get("/payments?order_id=x&user_id=0&status=none&limit=201")
        expect(status).toBe(422)
        const named = body.errors.map(({ parameter }: { parameter: string }) => parameter)
        expect(named.toSorted()).toEqual(["limit", "order_id", "status", "user_id"])
        expect((yield* get("/payments?cursor=x")).body.type).toBe("/problems/invalid-cursor")
      }),
    )

    it.effect("does not have a payment that does not exist", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const { status, body } = yield* get("/payments/9007199254740991")
        expect(status).toBe(404)
        expect(body).toMatchObject({ type: "/problems/payment-not-found", payment_id: 9007199254740991 })
        expect((yield* get("/payments/x")).status).toBe(404)
      }),
    )
  })

  it.effect("parks nothing of all this, but an order whose event has the id of another's", () =>
    Effect.gen(function* () {
      const { held, put, settled } = yield* Scenario
      expect(yield* held("payment")).toEqual([])
      const order = yield* anOrder()
      yield* becomes(order, "successful")
      const data = { order_id: next(), user_id: next(), amount: "5.00", steps: ["payment"] }
      yield* put({
        ...encode({
          id: order.key,
          source: "/shop",
          type: "order_created",
          version: 1,
          key: String(data.user_id),
          subject: String(data.order_id),
          time: new Date().toISOString(),
          traceparent: null,
          data: JSON.stringify(data),
        }),
      })
      yield* settled
      expect(yield* held("payment")).toEqual([
        {
          reaction: "payment.open",
          key: `order_id:${data.order_id}`,
          status: "parked",
          reason: "rejected",
          error: "another order has an order_created event of this id",
        },
      ])
      expect(yield* paymentOf({ ...data, key: "" })).toBeUndefined()
      expect(yield* ledgerOf(order)).toEqual(kept)
    }),
  )
})

/** The orders of a test are prepared in less, also on a busy machine. */
const giveUpMinutes = 1
const onBothImpatient = await onEveryDatabase([payment], { PAYMENT_GIVE_UP_MINUTES: String(giveUpMinutes) })
onBothImpatient("payments that are given up after a minute", (it) => {
  it.effect("fail when the provider does not answer, and are refunded if it charged after all", () =>
    Effect.gen(function* () {
      const sql = yield* database
      const [order, stopped] = [yield* anOrder("card_down"), yield* anOrder("card_down")]
      for (const one of [order, stopped]) yield* unanswered(one)
      yield* cancel(stopped)
      yield* (yield* Scenario).settled
      for (const one of [order, stopped]) yield* passed(one, giveUpMinutes * 60)
      expect(yield* becomes(order, "failed")).toMatchObject({ reason: "provider_unavailable" })
      expect((yield* publishedAbout(order)).map(({ type, data }) => [type, data.reason])).toEqual([
        ["payment_failed", "provider_unavailable"],
      ])
      expect(yield* becomes(stopped, "failed")).toMatchObject({ reason: "provider_unavailable" })
      expect(yield* typesOf(stopped)).toEqual([])

      for (const { key } of [order, stopped]) {
        yield* sql`update payment_sandbox.requests set payment_method = 'card_ok' where key = ${key}`
        yield* sql`insert into payment_sandbox.charges (key, amount, charged_at) values (${key}, 100.50, now())`
      }
      for (const one of [order, stopped]) yield* passed(one, 0)
      expect(yield* becomes(order, "refunded")).toMatchObject({ reason: "provider_unavailable" })
      expect(yield* becomes(stopped, "refunded")).toMatchObject({ reason: "order_cancelled" })
      expect(yield* typesOf(order)).toEqual(["payment_failed", "payment_refunded"])
      expect(yield* typesOf(stopped)).toEqual(["payment_refunded"])
      for (const one of [order, stopped]) expect(yield* ledgerOf(one)).toEqual(givenBack)
      expect(yield* sql`select 1 from task`).toEqual([])
    }),
  )
})

const circuit = Effect.gen(function* () {
  const { url, get } = yield* Scenario
  const metrics = yield* Effect.promise(async () => (await fetch(`${url}/metrics`)).text())
  const [, labels, state] = /^galleria_circuit_state\{([^}]*)\} (\d)$/mu.exec(metrics) ?? []
  expect(labels?.split(",").toSorted()).toEqual(['circuit="payment_provider"', 'module="payment"'])
  const { body } = yield* get("/readyz")
  return { state: Number(state), ready: body.state, check: body.checks.payment_provider }
})

const onBothBroken = await onEveryDatabase([payment], { PAYMENT_GIVE_UP_MINUTES: String(giveUpMinutes) })
onBothBroken("the circuit of the provider", (it) => {
  it.effect("opens after 20 payments without an answer and closes by itself, while payments wait", () =>
    Effect.gen(function* () {
      expect(yield* circuit).toEqual({ state: 0, ready: "ready", check: "ok" })
      const failing = yield* Effect.forEach(Array.from({ length: 20 }), () => anOrder("card_down"))
      yield* eventually(
        Effect.map(circuit, (now) =>
          expect(now).toEqual({
            state: 2,
            ready: "degraded",
            check: "the provider does not answer: its circuit is open",
          }),
        ),
      )
      const order = yield* anOrder()
      yield* eventually(Effect.map(paymentOf(order), (payment) => expect(payment?.status).toBe("pending")))
      yield* eventually(Effect.map(callOf(order), (call) => expect(call).toBe("no")))
      expect(yield* requestsOf(order)).toEqual([])
      yield* becomes(order, "successful")
      expect(yield* ledgerOf(order)).toEqual(kept)
      expect(yield* circuit).toEqual({ state: 0, ready: "ready", check: "ok" })

      // Payments that failed before say nothing new: the circuit stays closed while they are tried again.
      for (const one of failing) yield* passed(one, giveUpMinutes * 60)
      for (const one of failing) expect(yield* becomes(one, "failed")).toMatchObject({ reason: "provider_unavailable" })
      expect(yield* circuit).toMatchObject({ state: 0 })
    }),
  )
})

const postgres = await realPostgres()
describe.skipIf(postgres === undefined)("a restart in the middle of a payment", () => {
  it.live("loses neither the payment nor the sandbox's charge, and charges nothing again", () =>
    Effect.gen(function* () {
      const url = Redacted.make(yield* newDatabase(postgres!))
      const databases = Layer.succeed(Databases, { of: (schema: string) => databaseAt({ url, schema, alone: false }) })
      // One log for both lives: the database belongs to it.
      const site = Layer.merge(Layer.succeedContext(yield* Layer.build(drivers())), databases)
      const running = () => scenario([payment], {}, site)
      // The charge is looked up half a second later, which a busy machine may take to come here.
      const order = yield* eventually(
        Effect.gen(function* () {
          const order = yield* anOrder("card_timeout")
          yield* unanswered(order)
          expect(yield* putOff(order)).toBe(true)
          expect(yield* paymentOf(order)).toMatchObject({ status: "pending" })
          expect(yield* ledgerOf(order)).toEqual(kept)
          return order
        }),
      ).pipe(Effect.provide(running()))
      yield* Effect.gen(function* () {
        expect(yield* ledgerOf(order)).toEqual(kept)
        yield* passed(order, 0)
        yield* becomes(order, "successful")
        const sql = yield* database
        expect(yield* sql`select attempts from payment_sandbox.requests where key = ${order.key}`).toEqual([
          { attempts: 1 },
        ])
        expect(yield* typesOf(order)).toEqual(["payment_successful"])
      }).pipe(Effect.provide(Layer.fresh(running())))
    }),
  )
})
