import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { modules } from "../modules.ts"
import { eventually, Scenario, scenario } from "./harness/scenario.ts"

const line = (product_id: string) => ({ product_id, quantity: 2, price: "10.00" })

/** Places an order, and says its id. */
const place = (payment_method: string, product_id = "MOUSE001") =>
  Effect.gen(function* () {
    const { post } = yield* Scenario
    const { status, body } = yield* post("/orders", { user_id: 1, items: [line(product_id)], payment_method })
    expect(status).toBe(201)
    return body.id as number
  })

const ends = (id: number, status: string) =>
  Effect.flatMap(Scenario, ({ get }) =>
    eventually(Effect.map(get(`/orders/${id}`), ({ body }) => expect(body.status).toBe(status))),
  )

/** What the endpoint names, as `invariant module subject`. */
const violations = Effect.gen(function* () {
  const { get } = yield* Scenario
  const { status, body } = yield* get("/admin/audit")
  expect(status).toBe(200)
  return (body.violations as ReadonlyArray<Record<string, string>>).map(
    ({ invariant, module, subject }) => `${invariant} ${module} ${subject}`,
  )
})

layer(scenario(Object.values(modules), { USER_WAIT_MS: "60000" }), { excludeTestServices: true })(
  "An audit of five modules",
  (it) => {
    let processed: number
    let cancelled: number

    it.effect("finds nothing after each ending of an order", () =>
      Effect.gen(function* () {
        const { post, settled } = yield* Scenario
        expect((yield* post("/users", { email: "ada@example.org", name: "Ada" })).status).toBe(201)
        processed = yield* place("card_ok")
        yield* ends(processed, "processed")
        yield* ends(yield* place("card_declined"), "failed")
        yield* ends(yield* place("card_ok", "NONE"), "failed")
        cancelled = yield* place("card_slow")
        expect((yield* post(`/orders/${cancelled}/cancel`)).status).toBe(200)
        yield* ends(cancelled, "cancelled")
        yield* settled
        yield* eventually(Effect.map(violations, (found) => expect(found).toEqual([])))
      }),
    )

    it.effect("finds a removed charge, and nothing once it is back", () =>
      Effect.gen(function* () {
        const sql = (yield* Scenario).database("payment")
        const [charge] = yield* sql<{ key: string; amount: string; charged_at: Date }>`
        delete from payment_sandbox.charges where key = (select key from payments where order_id = ${processed})
        returning key, amount, charged_at`
        expect(yield* violations).toEqual([`paid-once-or-refunded payment order ${processed}`])
        const { key, amount, charged_at } = charge!
        yield* sql`insert into payment_sandbox.charges (key, amount, charged_at) values (${key}, ${amount}, ${charged_at})`
        expect(yield* violations).toEqual([])
      }),
    )

    it.effect("finds a product whose stock was changed", () =>
      Effect.gen(function* () {
        const sql = (yield* Scenario).database("inventory")
        yield* sql`update products set stock = stock + 1 where product_id = 'LAPTOP001'`
        expect(yield* violations).toEqual(["stock-adds-up inventory product LAPTOP001"])
        yield* sql`update products set stock = stock - 1 where product_id = 'LAPTOP001'`
        expect(yield* violations).toEqual([])
      }),
    )

    it.effect("finds a hold that outlives its order", () =>
      Effect.gen(function* () {
        const sql = (yield* Scenario).database("inventory")
        // All that belongs to a hold, so that nothing else is wrong.
        yield* sql`insert into holds (order_id, user_id, status, created_at) values (${cancelled}, 1, 'held', ${new Date()})
        on conflict (order_id) do update set status = 'held'`
        yield* sql`delete from hold_lines where order_id = ${cancelled}`
        yield* sql`insert into hold_lines (order_id, product_id, quantity) values (${cancelled}, 'KEYBOARD001', 2)`
        yield* sql`insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
        values ('KEYBOARD001', ${cancelled}, 'held', 0, 2, ${new Date()})`
        yield* sql`update products set reserved = reserved + 2 where product_id = 'KEYBOARD001'`
        expect(yield* violations).toEqual([`no-hold-outlives-its-order inventory order ${cancelled}`])
        yield* sql`update holds set status = 'released' where order_id = ${cancelled}`
        yield* sql`insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
        values ('KEYBOARD001', ${cancelled}, 'released', 0, -2, ${new Date()})`
        yield* sql`update products set reserved = reserved - 2 where product_id = 'KEYBOARD001'`
        expect(yield* violations).toEqual([])
      }),
    )

    it.effect("finds an order whose final notification was deleted, and an event that was not relayed", () =>
      Effect.gen(function* () {
        const { database } = yield* Scenario
        yield* database("notification")`
        delete from notifications where order_id = ${processed} and kind = 'order_processed'`
        const notification = `final-notification notification order ${processed}`
        expect(yield* violations).toEqual([notification])
        // No topic takes it, so that the relay cannot send it.
        yield* database("user")`
        insert into outbox (event_id, type, version, key, subject, time, data)
        values ('aged', 'no_such_topic', 1, '1', '1', ${new Date(Date.now() - 120_000)}, '{}')`
        expect(yield* violations).toEqual(["outbox-is-relayed user event aged", notification])
      }),
    )
  },
)
