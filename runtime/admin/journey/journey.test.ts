import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { PaymentSuccessful } from "../../../modules/payment/contract/events.ts"
import { modules } from "../../modules.ts"
import { eventually, onEveryDatabase, Scenario } from "../../test/harness/scenario.ts"

/** The journey of an order, once everything of it could be read in time: the machine may be busy. */
const journeyOf = (id: number) =>
  eventually(
    Effect.gen(function* () {
      const { get } = yield* Scenario
      const { status, body } = yield* get(`/admin/journeys/${id}`)
      expect(status).toBe(200)
      expect(body.gaps.filter(({ why }: any) => /answer|time/u.test(why))).toEqual([])
      return body
    }),
  )

const place = (payment_method: string) =>
  Effect.gen(function* () {
    const { post } = yield* Scenario
    const items = [{ product_id: "MOUSE001", quantity: 1, price: "5.00" }]
    const { body } = yield* post("/orders", { user_id: 1, items, payment_method })
    return body.id as number
  })

const ends = (id: number, status: string) =>
  Effect.flatMap(Scenario, ({ get }) =>
    eventually(Effect.map(get(`/orders/${id}`), ({ body }) => expect(body.status).toBe(status))),
  )

const deliveriesOf = (journey: any, type: string) =>
  journey.events
    .filter(({ topic }: any) => topic === type)
    .flatMap(({ deliveries }: any) => deliveries.map((one: any) => `${one.reaction} ${one.status}`))

const each = await onEveryDatabase(Object.values(modules), { USER_WAIT_MS: "60000" })
each("A journey", (it) => {
  it.effect("has every event of an order with its place, its deliveries, calls and holds", () =>
    Effect.gen(function* () {
      const { post, settled } = yield* Scenario
      yield* post("/users", { email: "ada@example.org", name: "Ada" })
      const other = yield* place("card_ok")
      const id = yield* place("card_ok")
      yield* ends(id, "processed")
      yield* ends(other, "processed")
      yield* settled
      // Its mails may be on their way.
      yield* eventually(
        Effect.gen(function* () {
          const journey = yield* journeyOf(id)
          expect(journey).toMatchObject({ order_id: id, user_id: 1, unsent: [], gaps: [] })
          expect(journey.order).toMatchObject({ status: "processed", amount: "5.00" })
          expect(journey.trace_ids.length).toBeGreaterThan(0)
          expect(
            journey.events.map(({ topic }: any) => topic).filter((topic: string) => topic !== "notification_sent"),
          ).toEqual([
            "order_created",
            "inventory_updated",
            "payment_successful",
            "inventory_updated",
            "order_processed",
          ])
          expect(journey.events.every(({ event }: any) => event.data.order_id === id)).toBe(true)
          expect(journey.events[0]).toMatchObject({
            module: "order",
            partition: expect.any(Number),
            offset: expect.any(Number),
            event: { source: "/galleria/order", key: "1", subject: String(id) },
          })
          expect(deliveriesOf(journey, "order_created").sort()).toEqual([
            "inventory.hold applied",
            "notification.tell-created applied",
            "order.start applied",
            "payment.open applied",
            "user.record-order applied",
          ])
          const steps = journey.steps.map((step: any) => `${step.module} ${step.kind} ${step.state}`)
          expect([...new Set<string>(steps)].sort()).toEqual([
            "inventory hold taken",
            "notification mail sent",
            "payment charge successful",
          ])
        }),
      )
    }),
  )

  it.effect("is of the caller's trace, over its charge and its mails, while nothing else happens", () =>
    Effect.gen(function* () {
      const { post, settled } = yield* Scenario
      const { body: user } = yield* post("/users", { email: "traced@example.org", name: "Ada" })
      yield* settled
      const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
      const order = { user_id: user.id, amount: "5.00" }
      const { body } = yield* post("/orders", order, { traceparent: `00-${trace}-00f067aa0ba902b7-01` })
      yield* ends(body.id, "processed")
      yield* settled
      const journey = yield* journeyOf(body.id)
      expect(journey.events.map(({ topic }: any) => topic)).toContain("notification_sent")
      expect(journey.trace_ids).toEqual([trace])
    }),
  )

  it.effect("shows a dead letter", () =>
    Effect.gen(function* () {
      const { publish, get } = yield* Scenario
      const id = yield* place("card_ok")
      yield* publish(PaymentSuccessful, { payment_id: 99, order_id: id, user_id: 1, amount: "7.00" })
      yield* eventually(
        Effect.gen(function* () {
          const journey = yield* journeyOf(id)
          const paid = journey.events.find(({ event }: any) => event.data.payment_id === 99)
          const parked = paid.deliveries.find(({ module }: any) => module === "order")
          expect(parked).toMatchObject({ reaction: "order.learn-paid", status: "parked", attempts: 1 })
          const { body } = yield* get(`/admin/dead-letters/${parked.dead_letter_id}`)
          expect(body.reason).toBe("rejected")
        }),
      )
    }),
  )

  it.effect("shows a charge that is retried, and the hold that expires without it", () =>
    Effect.gen(function* () {
      const { database } = yield* Scenario
      const id = yield* place("card_down")
      yield* eventually(
        Effect.gen(function* () {
          const { steps } = yield* journeyOf(id)
          const stepOf = (kind: string) => steps.find((step: any) => step.kind === kind)
          expect(stepOf("hold")).toMatchObject({ state: "held", until: expect.any(String) })
          expect(stepOf("charge").next_attempt_at).toEqual(expect.any(String))
          expect(stepOf("charge").state).toMatch(/^(?:retrying|unknown)$/u)
          expect(stepOf("charge").why).toEqual(expect.any(String))
        }),
      )
      yield* database("payment")`delete from task`
    }),
  )

  it.effect("shows what is not on the log yet", () =>
    Effect.gen(function* () {
      const { database, settled } = yield* Scenario
      const id = yield* place("card_ok")
      yield* ends(id, "processed")
      yield* settled
      const sql = database("user")
      const unsent = (order: number) => sql`
        insert into outbox (event_id, type, version, key, subject, time, data)
        values ('x', 'no_such_topic', 1, '1', '1', ${new Date(Date.now() - 60_000)}, ${JSON.stringify({ order_id: order })})`
      yield* unsent(id)
      yield* unsent(id * 10)
      const journey = yield* journeyOf(id)
      yield* sql`delete from outbox`
      // An event of another module may be on its way as well.
      const own = journey.unsent.filter(({ module }: { readonly module: string }) => module === "user")
      expect(own).toEqual([{ module: "user", type: "no_such_topic", age_seconds: expect.any(Number) }])
      expect(own[0].age_seconds).toBeGreaterThan(59)
    }),
  )

  it.effect("has events that the log has removed from the order's history, with the deliveries that are known", () =>
    Effect.gen(function* () {
      const { database } = yield* Scenario
      const long = new Date("2020-01-02T03:04:05Z")
      yield* database("order")`
        insert into orders (id, user_id, amount, status, items, payment_method, steps, created_at)
        values (4711, 1, 5, 'created', '[]', 'card_ok', '[]', ${long})`
      yield* database("order")`
        insert into order_history (order_id, event_id, type, occurred_at, status, data)
        values (4711, 'old', 'order_created', ${long}, 'created', '{"order_id": 4711}')`
      yield* database("user")`
        insert into inbox (reaction, source, event_id, taken_at)
        values ('user.record-order', '/galleria/order', 'old', ${long})`
      const journey = yield* journeyOf(4711)
      expect(journey.events).toEqual([
        {
          module: "order",
          topic: "order_created",
          partition: null,
          offset: null,
          time: long.toISOString(),
          event: { id: "old", source: null, type: "order_created", subject: null, key: null, data: { order_id: 4711 } },
          deliveries: [
            { module: "user", reaction: "user.record-order", status: "applied", at: long.toISOString(), attempts: 0 },
          ],
        },
      ])
      expect(journey.gaps).toEqual([{ why: expect.stringContaining("history") }])
      yield* database("order")`delete from orders where id = 4711`
    }),
  )

  it.effect("is 404 for an order that no module knows, and for what is not an id", () =>
    Effect.gen(function* () {
      const { get } = yield* Scenario
      const { status, body } = yield* get("/admin/journeys/123456")
      expect([status, body.type]).toEqual([404, "/problems/order-not-found"])
      expect((yield* get("/admin/journeys/0")).status).toBe(404)
      expect((yield* get("/admin/journeys/9007199254740993")).status).toBe(404)
    }),
  )
})
