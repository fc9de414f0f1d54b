import { describe, expect } from "@effect/vitest"
import { Arbitrary, Clock, Effect, Schema } from "effect"
import type { EventType } from "../../runtime/events/Event.ts"
import {
  behindLock,
  onEveryDatabase,
  pagesOf,
  Scenario,
  statusesOf,
  together,
} from "../../runtime/test/harness/scenario.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "../order/contract/events.ts"
import { UserCreated, UserOrderSummaryUpdated } from "./contract/events.ts"
import { user } from "./module.ts"

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u
const endings = { processed: OrderProcessed, failed: OrderFailed, cancelled: OrderCancelled }
const created_at = "2026-01-02T03:04:05.678Z"

let last = 0
const next = () => ++last

const newUser = () => ({ email: `Ada.${next()}@Example.org`, name: "Ada Lovelace" })

const signUp = Effect.gen(function* () {
  const { post } = yield* Scenario
  const { body } = yield* post("/users", newUser())
  return body.id as number
})

const orderCreated = (user_id: number, order_id: number, amount: string) => ({
  order_id,
  user_id,
  amount,
  items: [],
  payment_method: "card_ok",
  steps: [],
  created_at,
})

const ordersOf = (user_id: number) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const { body } = yield* get(`/users/${user_id}/orders`)
    return body.items as ReadonlyArray<{ order_id: number; amount: string; status: string; created_at: string }>
  })

const summaryOf = (user_id: number) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    return (yield* get(`/users/${user_id}/order-summary`)).body
  })

const summary = (user_id: number, orders_count: number, total_amount: string) => ({
  user_id,
  orders_count,
  total_amount,
})

/** The published summaries of a user, in their order. */
const publishedAbout = (user_id: number) =>
  Effect.gen(function* () {
    const { published } = yield* Scenario
    return (yield* published(UserOrderSummaryUpdated))
      .map(({ data }) => data)
      .filter((data) => data.user_id === user_id)
  })

const onBoth = await onEveryDatabase([user])

onBoth("the module user, alone", (it) => {
  describe("users", () => {
    it.effect("are created and published", () =>
      Effect.gen(function* () {
        const { post, get, published, settled } = yield* Scenario
        const given = newUser()
        const { status, headers, body } = yield* post("/users", given)
        expect(status).toBe(201)
        expect(headers.get("location")).toBe(`/users/${body.id}`)
        expect(headers.get("content-type")).toBe("application/json")
        expect(body).toEqual({ id: expect.any(Number), ...given, created_at: expect.any(String) })
        expect(new Date(body.created_at).toISOString()).toBe(body.created_at)
        expect((yield* get(`/users/${body.id}`)).body).toEqual(body)

        yield* settled
        const { id, ...data } = body
        const [event, ...more] = (yield* published(UserCreated)).filter((event) => event.data.user_id === id)
        expect(more).toEqual([])
        expect(event).toMatchObject({ source: "/galleria/user", type: "user_created", key: String(id) })
        expect(event!.id).toMatch(uuidV7)
        expect(event!.data).toEqual({ user_id: id, ...data })
      }),
    )

    it.effect("keep their names as written", () =>
      Effect.gen(function* () {
        const { post, get } = yield* Scenario
        const name = ` O'Brien "Ñandú" <b>\\u0041 \u202e😀 `
        const { body } = yield* post("/users", { ...newUser(), name })
        expect((yield* get(`/users/${body.id}`)).body.name).toBe(name)
      }),
    )

    it.effect("have unique e-mails, compared without case", () =>
      Effect.gen(function* () {
        const { post, published, settled } = yield* Scenario
        const { email, name } = newUser()
        const { body } = yield* post("/users", { email, name })
        yield* settled
        const before = (yield* published(UserCreated)).length
        for (const same of [email, email.toUpperCase(), email.toLowerCase()]) {
          const refused = yield* post("/users", { email: same, name: "Eve" })
          expect(refused.status).toBe(409)
          expect(refused.body).toMatchObject({ type: "/problems/email-taken", status: 409 })
        }
        yield* settled
        expect((yield* published(UserCreated)).length).toBe(before)
        expect(body.email).toBe(email)
      }),
    )

    it.effect("are created once when many requests use one e-mail at once", () =>
      Effect.gen(function* () {
        const { post } = yield* Scenario
        const given = newUser()
        const answers = yield* together(20, () => post("/users", given))
        expect(statusesOf(answers)).toEqual({ 201: 1, 409: 19 })
      }),
    )

    it.effect("are created once when requests with keys, e-mails and both in common come at once", () =>
      Effect.gen(function* () {
        const { post } = yield* Scenario
        const [given, other, third] = [newUser(), newUser(), newUser()]
        const ask = [
          ["a", given],
          ["a", given],
          ["b", given],
          ["a", other],
          ["c", other],
          ["d", third],
          ["d", third],
        ] as const
        const keys = crypto.randomUUID()
        const answers = yield* together(ask.length, (n) =>
          post("/users", ask[n]![1], { "idempotency-key": `${keys} ${ask[n]![0]}` }),
        )
        const [first, replayed, taken, reused, own, last, lastReplayed] = answers.map(({ status }) => status)
        expect([first, replayed, own, last, lastReplayed]).toEqual([201, 201, 201, 201, 201])
        expect([taken, reused]).toEqual([409, 422])
        expect(answers[1]!.body).toEqual(answers[0]!.body)
        expect(answers[6]!.body).toEqual(answers[5]!.body)
        expect(answers.filter(({ headers }) => headers.get("idempotency-replayed") === "true")).toHaveLength(2)
      }),
    )

    it.effect("are each returned to its own reader when many read at once", () =>
      Effect.gen(function* () {
        const { get, database } = yield* Scenario
        const ids = [yield* signUp, 9007199254740991, yield* signUp]
        const answers = yield* behindLock(
          database("user"),
          "users",
          together(9, (n) => get(`/users/${ids[n % 3]}`)),
        )
        expect(answers.map(({ status }) => status)).toEqual(answers.map((_, n) => (n % 3 === 1 ? 404 : 200)))
        expect(answers.map(({ body }) => body.id ?? body.user_id)).toEqual(answers.map((_, n) => ids[n % 3]))
      }),
    )

    it.effect("are not found by an unused id", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        for (const path of ["", "/orders", "/order-summary"]) {
          const { status, body } = yield* get(`/users/9007199254740991${path}`)
          expect(status).toBe(404)
          expect(body).toMatchObject({ type: "/problems/user-not-found", user_id: 9007199254740991 })
        }
      }),
    )

    it.effect("are listed newest first, each once over all pages, while others sign up", () =>
      Effect.gen(function* () {
        for (let n = 0; n < 8; n++) yield* signUp
        const { get } = yield* Scenario
        const whole = (yield* get("/users?limit=200")).body
        expect(whole.next_cursor).toBeNull()
        const ids = whole.items.map((user: { id: number }) => user.id)
        expect(ids).toEqual(ids.toSorted((a: number, b: number) => b - a))
        const pages = yield* pagesOf("/users?limit=3", signUp)
        expect(pages.length).toBe(Math.ceil(ids.length / 3))
        expect(pages.flat()).toEqual(whole.items)
      }),
    )
  })

  describe("a user's orders", () => {
    it.effect("are empty at first", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const id = yield* signUp
        expect((yield* get(`/users/${id}/orders`)).body).toEqual({ items: [], next_cursor: null })
        expect(yield* summaryOf(id)).toEqual(summary(id, 0, "0.00"))
      }),
    )

    it.effect("appear with order_created, and count", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const id = yield* signUp
        const [first, second] = [next(), next()]
        yield* publish(OrderCreated, orderCreated(id, first, "100.5"))
        yield* publish(OrderCreated, orderCreated(id, second, "0.01"))
        yield* settled
        expect(yield* ordersOf(id)).toEqual([
          { order_id: second, amount: "0.01", status: "created", created_at },
          { order_id: first, amount: "100.50", status: "created", created_at },
        ])
        expect(yield* summaryOf(id)).toEqual(summary(id, 2, "100.51"))
        expect((yield* publishedAbout(id)).at(-1)).toEqual(summary(id, 2, "100.51"))
      }),
    )

    it.effect.each([
      ["processed", 1, "25.00"],
      ["failed", 0, "0.00"],
      ["cancelled", 0, "0.00"],
    ] as const)("are %s after the event, whether it arrives after or before order_created", ([status, count, total]) =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const id = yield* signUp
        const order_id = next()
        const created = orderCreated(id, order_id, "25.00")
        const ending = { order_id, user_id: id, amount: "25.00" }

        yield* publish(OrderCreated, created)
        yield* settled
        yield* publish(endings[status], ending)
        yield* settled
        expect(yield* ordersOf(id)).toEqual([{ order_id, amount: "25.00", status, created_at }])
        expect(yield* summaryOf(id)).toEqual(summary(id, count, total))

        const other = yield* signUp
        const early = next()
        yield* publish(endings[status], { ...ending, order_id: early, user_id: other })
        yield* settled
        expect(yield* ordersOf(other)).toEqual([])
        expect(yield* summaryOf(other)).toEqual(summary(other, 0, "0.00"))
        expect(yield* publishedAbout(other)).toEqual([])
        yield* publish(OrderCreated, { ...created, order_id: early, user_id: other })
        yield* settled
        expect(yield* ordersOf(other)).toEqual([{ order_id: early, amount: "25.00", status, created_at }])
        expect(yield* summaryOf(other)).toEqual(summary(other, count, total))
      }),
    )

    it.effect("change once by an event that arrives twice or is published again", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const id = yield* signUp
        const order_id = next()
        const created = orderCreated(id, order_id, "10.00")
        const event = yield* publish(OrderCreated, created)
        yield* publish(OrderCreated, created, event)
        yield* publish(OrderCreated, created)
        yield* publish(OrderFailed, { order_id, user_id: id, amount: "10.00" })
        yield* settled
        yield* publish(OrderCreated, created, event)
        yield* publish(OrderCreated, created)
        yield* publish(OrderFailed, { order_id, user_id: id, amount: "10.00" })
        yield* settled
        expect(yield* ordersOf(id)).toEqual([{ order_id, amount: "10.00", status: "failed", created_at }])
        expect(yield* summaryOf(id)).toEqual(summary(id, 0, "0.00"))
      }),
    )

    it.effect.each([
      ['"100.50"', "100.50"],
      ['"100.5"', "100.50"],
      ["100.5", "100.50"],
      ["100", "100.00"],
      ["1e2", "100.00"],
    ] as const)(
      "are taken from the first designs' bare JSON, of the amount %s, at the record's time",
      ([amount, kept]) =>
        Effect.gen(function* () {
          const { put, settled } = yield* Scenario
          const id = yield* signUp
          const order_id = next()
          const before = yield* Clock.currentTimeMillis
          yield* put({
            topic: "order_created",
            value: Buffer.from(`{"order_id":${order_id},"user_id":${id},"amount":${amount}}`),
          })
          const after = yield* Clock.currentTimeMillis
          yield* settled
          const [order, ...more] = yield* ordersOf(id)
          expect(more).toEqual([])
          expect(order).toMatchObject({ order_id, amount: kept, status: "created" })
          expect(Date.parse(order!.created_at)).toBeGreaterThanOrEqual(before)
          expect(Date.parse(order!.created_at)).toBeLessThanOrEqual(after)
          expect(yield* summaryOf(id)).toEqual(summary(id, 1, kept))
        }),
    )

    it.effect("include those of a foreign producer's bare JSON", () =>
      Effect.gen(function* () {
        const { put, settled } = yield* Scenario
        const id = yield* signUp
        const order_id = next()
        const value = Buffer.from(JSON.stringify(orderCreated(id, order_id, "10.00")))
        yield* put({ topic: "order_created", value })
        yield* settled
        expect(yield* summaryOf(id)).toEqual(summary(id, 1, "10.00"))
      }),
    )

    it.effect("are listed newest first, each once over all pages, while more are placed", () =>
      Effect.gen(function* () {
        const { publish, publishAll, settled, get } = yield* Scenario
        const id = yield* signUp
        const orders = Array.from({ length: 7 }, () => orderCreated(id, next(), "1.00"))
        yield* publishAll(OrderCreated, orders)
        yield* settled
        const place = Effect.andThen(
          Effect.suspend(() => publish(OrderCreated, orderCreated(id, next(), "1.00"))),
          settled,
        )
        const pages = yield* pagesOf(`/users/${id}/orders?limit=2`, place)
        expect(pages.map((page) => page.length)).toEqual([2, 2, 2, 1])
        expect(pages.flat().map((order) => order.order_id)).toEqual(orders.map((order) => order.order_id).toReversed())
        expect((yield* get(`/users/${id}/orders`)).body.items).toHaveLength(orders.length + pages.length - 1)
      }),
    )

    it.effect("have an exact sum that no float could represent", () =>
      Effect.gen(function* () {
        const { publishAll, settled } = yield* Scenario
        const id = yield* signUp
        yield* publishAll(
          OrderCreated,
          Array.from({ length: 30 }, () => orderCreated(id, next(), "99999999.99")),
        )
        yield* publishAll(OrderCreated, [orderCreated(id, next(), "0.1"), orderCreated(id, next(), "0.2")])
        yield* settled
        expect(yield* summaryOf(id)).toEqual(summary(id, 32, "3000000000.00"))
      }),
    )

    it.effect("are published once for each user of a transaction", () =>
      Effect.gen(function* () {
        const { publishAll, settled } = yield* Scenario
        const [one, other] = [yield* signUp, yield* signUp]
        // Ten records in one send: as many as are always taken in one transaction.
        yield* publishAll(OrderCreated, [
          ...Array.from({ length: 6 }, () => orderCreated(one, next(), "1.10")),
          ...Array.from({ length: 4 }, () => orderCreated(other, next(), "2.00")),
        ])
        yield* settled
        expect(yield* publishedAbout(one)).toEqual([summary(one, 6, "6.60")])
        expect(yield* publishedAbout(other)).toEqual([summary(other, 4, "8.00")])
      }),
    )

    it.effect("are not published when the summary does not change", () =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const id = yield* signUp
        const order_id = next()
        yield* publish(OrderCreated, orderCreated(id, order_id, "5.00"))
        yield* settled
        yield* publish(OrderProcessed, { order_id, user_id: id, amount: "5.00" })
        yield* settled
        expect(yield* publishedAbout(id)).toEqual([summary(id, 1, "5.00")])
      }),
    )
  })

  const Happened = Schema.Struct({
    cents: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9_999_999_999 })),
    ending: Schema.Literals(["none", "processed", "failed", "cancelled"]),
    /** In which order the two events are sent, among all of this run. */
    ranks: Schema.Struct({ created: Schema.Int, ended: Schema.Int }),
    /** Each is sent again at these ranks: as a copy, or as an event that says the same. */
    again: Schema.Array(
      Schema.Struct({ rank: Schema.Int, of: Schema.Literals(["created", "ended"]), isCopy: Schema.Boolean }),
    ).check(Schema.isMaxLength(2)),
    /** Nothing goes on before this order's events have arrived. */
    pause: Schema.Boolean,
    isCreated: Schema.Literals([true, true, true, false]),
  })

  it.effect.prop(
    "is right for any order and repetition of their events",
    [Arbitrary.array(Arbitrary.schema(Happened), { minLength: 1, maxLength: 6 })],
    ([happened]) =>
      Effect.gen(function* () {
        const { publish, settled } = yield* Scenario
        const id = yield* signUp
        const orders = happened.map((order) => ({ ...order, order_id: next(), amount: (order.cents / 100).toFixed(2) }))
        const sends = orders.flatMap(({ order_id, amount, ending, ranks, again, pause, isCreated }) => {
          const created = (event?: string) => publish(OrderCreated, orderCreated(id, order_id, amount), event)
          const ended = (event?: string) =>
            ending === "none" ? Effect.void : publish(endings[ending], { order_id, user_id: id, amount }, event)
          const both = { created: isCreated ? created : () => Effect.void, ended }
          return [
            { rank: ranks.created, pause, send: both.created(`created ${order_id}`) },
            { rank: ranks.ended, pause, send: both.ended(`ended ${order_id}`) },
            ...again.map(({ rank, of, isCopy }) => ({
              rank,
              pause,
              send: both[of](isCopy ? `${of} ${order_id}` : crypto.randomUUID()),
            })),
          ]
        })
        for (const { send, pause } of sends.toSorted((a, b) => a.rank - b.rank)) {
          yield* send
          if (pause) yield* settled
        }
        yield* settled

        const listed = orders.filter((order) => order.isCreated)
        expect(yield* ordersOf(id)).toEqual(
          listed.toReversed().map(({ order_id, amount, ending }) => ({
            order_id,
            amount,
            status: ending === "none" ? "created" : ending,
            created_at,
          })),
        )
        const counted = listed.filter(({ ending }) => ending === "none" || ending === "processed")
        const cents = counted.reduce((sum, order) => sum + order.cents, 0)
        const expected = summary(id, counted.length, (cents / 100).toFixed(2))
        expect(yield* summaryOf(id)).toEqual(expected)
        expect((yield* publishedAbout(id)).at(-1) ?? summary(id, 0, "0.00")).toEqual(expected)
      }),
    { arbitrary: { runs: 20 } },
  )

  it.effect("parks nothing of all this", () =>
    Effect.gen(function* () {
      const { held } = yield* Scenario
      expect(yield* held("user")).toEqual([])
    }),
  )

  it.effect.each([
    [OrderCreated, "user.record-order"],
    [OrderProcessed, "user.record-processed"],
    [OrderFailed, "user.record-failed"],
    [OrderCancelled, "user.record-cancelled"],
  ] as const)(
    "holds back, in $1, later events of the order alone, not those of its user's other orders",
    ([event, reaction]) =>
      Effect.gen(function* () {
        const { put, publish, settled, held, database } = yield* Scenario
        const id = yield* signUp
        const [bad, good] = [orderCreated(id, next(), "1.00"), orderCreated(id, next(), "2.00")]
        yield* put({ topic: event.type, value: Buffer.from(JSON.stringify({ ...bad, amount: "1e3" })) })
        yield* publish<EventType>(event, bad)
        yield* publish<EventType>(event, good)
        yield* settled
        const key = `order_id:${bad.order_id}`
        expect((yield* held("user")).filter((entry) => entry.reaction === reaction)).toMatchObject([
          { key, status: "retrying", reason: "schema" },
          { key, status: "waiting" },
        ])
        expect(yield* database("user")`select order_id::int from user_orders where user_id = ${id}`).toEqual([
          { order_id: good.order_id },
        ])
      }),
  )
})
