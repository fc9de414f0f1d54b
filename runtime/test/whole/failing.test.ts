import { beforeAll, describe, expect, layer } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { order } from "../../../modules/order/module.ts"
import { InventoryUpdated } from "../../../modules/inventory/contract/events.ts"
import { OrderCreated, OrderProcessed } from "../../../modules/order/contract/events.ts"
import { PaymentSuccessful } from "../../../modules/payment/contract/events.ts"
import { UserCreated } from "../../../modules/user/contract/events.ts"
import { user as userModule } from "../../../modules/user/module.ts"
import { Bound, type Module } from "../../module/Module.ts"
import { Reject } from "../../module/Reaction.ts"
import { logs } from "../harness/logs.ts"
import { type Answer, eventually, pagesOf, Scenario, scenario, statusesOf, together } from "../harness/scenario.ts"

/** What a test breaks and mends: how the reaction `order.learn-stock` fails at the events of an order. */
const broken = new Map<number, Effect.Effect<never, Reject>>()
const dies = Effect.die(new Error("the cause is not mended"))
const rejects = Effect.fail(new Reject({ reason: "the cause is not mended" }))

/** How often it was run for a broken order. */
const failures = new Map<number, number>()

/** The module, whose reaction fails at broken orders. Ten attempts take some seconds. */
const breakable = (module: Module): Module => ({
  ...module,
  layer: Layer.effect(
    Bound,
    Effect.map(Bound, ({ reactions, ...bound }) => ({
      ...bound,
      reactions: reactions.map((reaction) => {
        if (reaction.name !== "order.learn-stock") return reaction
        const run: typeof reaction.run = (events) =>
          Effect.suspend(() => {
            for (const { data } of events) {
              const failure = broken.get(data.order_id)
              if (failure === undefined) continue
              failures.set(data.order_id, (failures.get(data.order_id) ?? 0) + 1)
              return failure
            }
            return reaction.run(events)
          })
        return { ...reaction, retry: Schedule.spaced("100 millis"), run }
      }),
    })),
  ).pipe(Layer.provide(module.layer)),
})

const created_at = "2026-01-02T03:04:05.678Z"

let orders = 0
const orderOf = (user_id: number) => ({
  order_id: ++orders,
  user_id,
  amount: "10.00",
  items: [],
  payment_method: "card_ok",
  steps: [],
  created_at,
})

const signUp = Effect.gen(function* () {
  const { post } = yield* Scenario
  const { body } = yield* post("/users", { email: `ada.${Math.random()}@example.org`, name: "Ada" })
  return body.id as number
})

const ordersOf = (user_id: number) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const { body } = yield* get(`/users/${user_id}/orders?limit=200`)
    return (body.items as ReadonlyArray<{ order_id: number }>).map(({ order_id }) => order_id).toReversed()
  })

/** The one user, all of whose orders have one key, and so one partition. */
const user_id = 1

const place = Effect.gen(function* () {
  const { post } = yield* Scenario
  const { body } = yield* post("/orders", { user_id, amount: 10 })
  return body.id as number
})

const stock = (order_id: number, change: "held" | "taken" | "released") => ({
  order_id,
  user_id,
  change,
  lines: [{ product_id: "LAPTOP001", quantity: 1, stock: 49, available: 49 }],
})

/** What an order learned of its stock, in that order. */
const changesOf = (order_id: number) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const { body } = yield* get(`/orders/${order_id}/history?limit=200`)
    return (body.items as ReadonlyArray<{ type: string; data: { change: string } }>).flatMap(({ type, data }) =>
      type === "inventory_updated" ? [data.change] : [],
    )
  })

const statusOf = (order_id: number) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    return (yield* get(`/orders/${order_id}`)).body.status as string
  })

const listed = (query: string) => Effect.map(pagesOf(`/admin/dead-letters?limit=200${query}`), (pages) => pages.flat())

/** The entries of events about an order, newest first. */
const entriesAbout = (order_id: number, query = "") =>
  Effect.map(listed(query), (all) => all.filter(({ event }) => event.data.order_id === order_id))

/** The entries of events with a key, newest first. */
const entriesOf = (key: number | string | null, query = "") =>
  Effect.map(listed(query), (all) => all.filter(({ event }) => event.key === (key === null ? null : String(key))))

const entryOf = (id: string) =>
  Effect.gen(function* () {
    const { get } = yield* Scenario
    const { status, body } = yield* get(`/admin/dead-letters/${id}`)
    expect(status).toBe(200)
    return body
  })

/** The sum of a metric over what has these labels. */
const metric = (name: string, ...labels: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { url } = yield* Scenario
    const text = yield* Effect.promise(async () => (await fetch(`${url}/metrics`)).text())
    return text
      .split("\n")
      .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0)
  })

/** Breaks the reaction for a new order and lets three events about it wait, the first of which is parked. */
const parked = Effect.gen(function* () {
  const { publishAll } = yield* Scenario
  const order = yield* place
  broken.set(order, rejects)
  const changes = ["held", "taken", "released"] as const
  yield* publishAll(
    InventoryUpdated,
    changes.map((change) => stock(order, change)),
  )
  const entry = yield* eventually(
    Effect.map(entriesAbout(order, "&status=parked"), ([entry]) => {
      expect(entry).toMatchObject({ waiting: 2, attempts: 1, reason: "rejected" })
      return entry
    }),
  )
  return { order, changes, entry }
})

const problem = (answer: Answer) => [answer.status, answer.body.type]

/** Nothing is broken at first: the ids of orders begin anew. */
const mendAll = () => {
  broken.clear()
  failures.clear()
}

for (const { log, drivers } of await logs()) {
  layer(scenario([breakable(order)], { ORDER_STEPS: "payment,inventory" }, drivers()), { excludeTestServices: true })(
    `a reaction that fails for one order (${log})`,
    (it) => {
      beforeAll(mendAll)

      it.effect("is of a user who is known", () =>
        Effect.gen(function* () {
          const { publish, post } = yield* Scenario
          yield* publish(UserCreated, { user_id, email: "ada@example.org", name: "Ada" })
          yield* eventually(
            Effect.map(post("/orders", { user_id, amount: 1 }), ({ status }) => expect(status).toBe(201)),
          )
        }),
      )

      it.effect(
        "holds back that order's later events alone, not those of its user's others, parks, and drains in order once it is mended and redriven",
        () =>
          Effect.gen(function* () {
            const { post, publish, publishAll, published, settled, database } = yield* Scenario
            const applied = metric("galleria_events_applied_total", 'reaction="order.learn-stock"')
            const before = yield* applied
            const others = yield* together(1_000, () => place)
            const unlucky = yield* place
            broken.set(unlucky, dies)
            const waits = [stock(unlucky, "held"), stock(unlucky, "released"), stock(unlucky, "held")] as const
            const theirs = others.map((other) => stock(other, "held"))
            yield* publishAll(InventoryUpdated, [
              waits[0],
              ...theirs.slice(0, 500),
              waits[1],
              ...theirs.slice(500),
              waits[2],
            ])
            yield* eventually(
              Effect.map(entriesAbout(unlucky), ([entry]) =>
                expect(entry).toMatchObject({ status: "retrying", reason: "failed" }),
              ),
            )

            yield* settled
            const [learned] = yield* database("order")`
              select count(*)::int as n, count(distinct order_id)::int as orders from order_history
              where type = 'inventory_updated'`
            expect(learned).toEqual({ n: 1_000, orders: 1_000 })

            const [entry, ...more] = yield* entriesAbout(unlucky)
            expect(more).toEqual([])
            expect(entry).toMatchObject({
              module: "order",
              reaction: "order.learn-stock",
              waiting: 2,
              reason: "failed",
              error: "the cause is not mended",
              topic: "inventory_updated",
              event: { type: "inventory_updated", source: "/galleria/hand", key: String(user_id), data: waits[0] },
            })

            // What comes later waits too; what is for another reaction does not.
            yield* publish(InventoryUpdated, stock(unlucky, "taken"))
            yield* publish(PaymentSuccessful, { payment_id: 1, order_id: unlucky, user_id, amount: "10.00" })
            yield* settled
            yield* eventually(
              Effect.map(entryOf(entry.id), (now) =>
                expect(now).toMatchObject({ status: "parked", attempts: 10, waiting: 3 }),
              ),
            )
            // Once in its batch, once alone, and nine times later.
            expect(failures.get(unlucky)).toBeGreaterThanOrEqual(11)
            expect(yield* entriesAbout(unlucky)).toHaveLength(1)
            expect(yield* statusOf(unlucky)).toBe("paid")
            expect(yield* metric("galleria_dead_letters", 'module="order"', 'status="parked"')).toBe(1)
            expect(yield* metric("galleria_dead_letters", 'module="order"', 'status="waiting"')).toBe(3)

            broken.delete(unlucky)
            const answer = yield* post(`/admin/dead-letters/${entry.id}/redrive`)
            expect(answer.status).toBe(200)
            expect(answer.body).toMatchObject({ id: entry.id, redriven_at: expect.any(String) })
            yield* eventually(
              Effect.map(entryOf(entry.id), (now) => expect(now).toMatchObject({ status: "redriven", waiting: 0 })),
            )
            yield* settled
            expect(yield* changesOf(unlucky)).toEqual(["held", "released", "held", "taken"])
            expect(yield* statusOf(unlucky)).toBe("processed")
            const processed = (yield* published(OrderProcessed)).filter(({ data }) => data.order_id === unlucky)
            expect(processed).toHaveLength(1)
            expect(yield* metric("galleria_dead_letters", 'module="order"')).toBe(0)
            expect((yield* applied) - before).toBe(1_004)
          }),
      )

      it.effect("ends with a discard as well, and the order's next events take effect", () =>
        Effect.gen(function* () {
          const { post } = yield* Scenario
          const { order, changes, entry } = yield* parked
          broken.delete(order)
          const { status, body } = yield* post(`/admin/dead-letters/${entry.id}/discard`)
          expect([status, body.status, body.next_attempt_at]).toEqual([200, "discarded", null])
          yield* eventually(Effect.map(changesOf(order), (seen) => expect(seen).toEqual(changes.slice(1))))
        }),
      )

      it.effect("leaves an ended entry unchanged, whatever an operator requests", () =>
        Effect.gen(function* () {
          const { post } = yield* Scenario
          const { order, changes, entry } = yield* parked
          broken.delete(order)
          yield* post(`/admin/dead-letters/${entry.id}/redrive`)
          yield* eventually(Effect.map(changesOf(order), (seen) => expect(seen).toEqual(changes)))
          const before = yield* entryOf(entry.id)
          for (const action of ["redrive", "discard", "discard", "redrive"]) {
            const { status, body } = yield* post(`/admin/dead-letters/${entry.id}/${action}`)
            expect([status, body]).toEqual([200, before])
          }
          expect(yield* changesOf(order)).toEqual(changes)
        }),
      )

      it.effect("is discarded or takes effect, never both, when both buttons are pressed at the same instant", () =>
        Effect.gen(function* () {
          const { post } = yield* Scenario
          for (let n = 0; n < 3; n++) {
            const { order, changes, entry } = yield* parked
            broken.delete(order)
            const answers = yield* together(10, (press) =>
              post(`/admin/dead-letters/${entry.id}/${press % 2 === 0 ? "redrive" : "discard"}`),
            )
            expect(statusesOf(answers)).toEqual({ 200: 10 })
            yield* eventually(Effect.map(changesOf(order), (seen) => expect(seen.slice(-2)).toEqual(changes.slice(1))))
            const { status } = yield* entryOf(entry.id)
            expect(yield* changesOf(order)).toEqual(status === "discarded" ? changes.slice(1) : changes)
            expect(["discarded", "redriven"]).toContain(status)
          }
        }),
      )

      it.effect("is redriven with all others that match, and only with those", () =>
        Effect.gen(function* () {
          const { post } = yield* Scenario
          const all = [yield* parked, yield* parked]
          for (const { order } of all) broken.delete(order)
          const none = [{ module: "user" }, { reaction: "order.learn-paid" }, { type: "order_failed" }]
          for (const body of none) {
            expect((yield* post("/admin/dead-letters/redrive", body)).body).toMatchObject({ redriven: 0 })
          }
          const some = { module: "order", reaction: "order.learn-stock", type: "inventory_updated" }
          expect((yield* post("/admin/dead-letters/redrive", some)).body).toMatchObject({ redriven: 2 })
          for (const { order, changes } of all) {
            yield* eventually(Effect.map(changesOf(order), (seen) => expect(seen).toEqual(changes)))
          }
          expect((yield* post("/admin/dead-letters/redrive")).body).toMatchObject({ redriven: 0 })
        }),
      )
    },
  )

  layer(scenario([userModule, order], {}, drivers()), { excludeTestServices: true })(
    `/admin/dead-letters (${log})`,
    (it) => {
      beforeAll(mendAll)
      const topic = "order_created"
      const said = { ce_specversion: "1.0", ce_source: "/hand", ce_type: topic }
      const good = JSON.stringify({ ...orderOf(1), user_id: 7_001 })
      const unreadable: ReadonlyArray<readonly [string, string | Uint8Array, Record<string, string>]> = [
        ["is empty", "", {}],
        ["is not UTF-8", Uint8Array.of(0x7b, 0xff), {}],
        ["is not JSON", "{", {}],
        ["is no object", "[]", {}],
        ["says another type than its topic's", good, { ...said, ce_id: "t", ce_type: "order_failed" }],
        ["has an unknown specversion", good, { ...said, ce_id: "v", ce_specversion: "0.3" }],
        ["has no id beside its source and type", good, said],
        [
          "is structured without data",
          `{"specversion":"1.0","id":"s","source":"/h","type":"${topic}"}`,
          {
            "content-type": "application/cloudevents+json",
          },
        ],
      ]

      describe("a record that cannot be read", () => {
        for (const [what, value, headers] of unreadable) {
          it.effect(`is parked alone with its module when it ${what}, and holds back nothing`, () =>
            Effect.gen(function* () {
              const { put, settled, publish } = yield* Scenario
              const user = yield* signUp
              yield* put({ topic, key: String(user), value: Buffer.from(value), headers })
              const next = orderOf(user)
              yield* publish(OrderCreated, next)
              yield* settled
              expect(yield* ordersOf(user)).toEqual([next.order_id])
              const entries = (yield* entriesOf(user)).filter(({ reason }) => reason === "malformed")
              expect(new Set(entries.map(({ module }) => module))).toEqual(new Set(["order", "user"]))
              expect(entries).toHaveLength(2)
              for (const entry of entries) {
                expect(entry).toMatchObject({ reaction: "*", status: "parked", waiting: 0, topic })
                expect(entry.error).toMatch(/\w/u)
                expect(entry.next_attempt_at).toBeNull()
              }
            }),
          )
        }

        it.effect("is skipped and counted when it has no value", () =>
          Effect.gen(function* () {
            const { put, settled } = yield* Scenario
            const before = yield* metric("galleria_records_skipped_total", 'module="user"')
            yield* put({ topic, key: "7002", value: null })
            yield* settled
            expect(yield* entriesOf("7002")).toEqual([])
            expect(yield* metric("galleria_records_skipped_total", 'module="user"')).toBe(before + 1)
          }),
        )
      })

      it.effect("has an event that fails its schema once for each reaction to it, holding its order there", () =>
        Effect.gen(function* () {
          const { put, settled, publish, get } = yield* Scenario
          const user = yield* signUp
          const [bad, good] = [orderOf(user), orderOf(user)]
          yield* put({
            topic,
            key: String(user),
            value: Buffer.from(`{"order_id":${bad.order_id},"user_id":"nobody"}`),
            headers: { ...said, ce_id: "x" },
          })
          yield* publish(OrderCreated, bad)
          yield* publish(OrderCreated, good)
          yield* settled
          const entries = yield* entriesOf(user)
          const reactions = [...userModule.reactions, ...order.reactions].filter(({ event }) => event.type === topic)
          expect(entries).toHaveLength(reactions.length)
          expect(new Set(entries.map(({ reaction }) => reaction))).toEqual(new Set(reactions.map(({ name }) => name)))
          for (const entry of entries) expect(entry).toMatchObject({ status: "retrying", reason: "schema", waiting: 1 })
          expect(yield* ordersOf(user)).toEqual([good.order_id])
          const { body } = yield* get("/admin/dead-letters?module=order&status=retrying&limit=200")
          expect(body.items.every(({ module }: { module: string }) => module === "order")).toBe(true)
        }),
      )

      it.effect("has an event of a newer version, tried every minute without counting", () =>
        Effect.gen(function* () {
          const { put, settled } = yield* Scenario
          const user = yield* signUp
          const headers = { ...said, ce_id: "newer", ce_dataschema: `/schemas/${topic}/2` }
          yield* put({ topic, key: String(user), value: Buffer.from(good), headers })
          yield* settled
          const entries = yield* entriesOf(user)
          expect(entries.length).toBeGreaterThan(0)
          for (const entry of entries) {
            expect(entry).toMatchObject({ status: "retrying", reason: "newer-version", attempts: 0 })
            expect(Date.parse(entry.next_attempt_at) - Date.parse(entry.first_failed_at)).toBeCloseTo(60_000, -3)
          }
        }),
      )

      it.effect("has an event without a key and data.user_id, which holds back nothing", () =>
        Effect.gen(function* () {
          const { put, settled } = yield* Scenario
          for (const id of ["k1", "k2"]) {
            yield* put({ topic, key: null, value: Buffer.from(`{"order_id":1}`), headers: { ...said, ce_id: id } })
            // Without a key each goes to another partition, and those have no order.
            yield* settled
          }
          const entries = (yield* entriesOf(null)).filter(({ module }) => module === "user")
          expect(entries.map(({ event, waiting, status }) => [event.id, waiting, status])).toEqual([
            ["k2", 0, "retrying"],
            ["k1", 0, "retrying"],
          ])
        }),
      )

      it.effect("is newest first over all modules, in pages", () =>
        Effect.gen(function* () {
          const { get } = yield* Scenario
          const pages = yield* pagesOf("/admin/dead-letters?limit=3")
          const ids = pages.flat().map(({ id }) => String(id))
          expect(pages.length).toBeGreaterThan(3)
          expect(ids.filter((id, n) => n > 0 && id >= ids[n - 1]!)).toEqual([])
          expect(new Set(pages.flat().map(({ module }) => module))).toEqual(new Set(["user", "order"]))
          const none = { items: [], next_cursor: null, checked_at: expect.any(String) }
          expect((yield* get("/admin/dead-letters?module=nobody")).body).toEqual(none)
        }),
      )

      it.effect("refuses what it does not know with a problem", () =>
        Effect.gen(function* () {
          const { get, post, request } = yield* Scenario
          const unknown = "/admin/dead-letters/01900000-0000-7000-8000-000000000000"
          const notFound = [404, "/problems/dead-letter-not-found"]
          expect(problem(yield* get(unknown))).toEqual(notFound)
          expect(problem(yield* post(`${unknown}/redrive`))).toEqual(notFound)
          expect(problem(yield* post(`${unknown}/discard`))).toEqual(notFound)
          for (const id of ["1", "%00", "..", "x".repeat(300)]) {
            expect((yield* get(`/admin/dead-letters/${id}`)).status).toBe(404)
            expect((yield* post(`/admin/dead-letters/${id}/redrive`)).status).toBe(404)
          }
          expect((yield* get("/admin/dead-letters?status=waiting")).status).toBe(422)
          expect((yield* get("/admin/dead-letters?limit=0")).status).toBe(422)
          expect(problem(yield* get("/admin/dead-letters?cursor=forged"))).toEqual([400, "/problems/invalid-cursor"])
          expect((yield* post("/admin/dead-letters/redrive", { module: 5 })).status).toBe(422)
          expect((yield* request("DELETE", unknown)).status).toBe(405)
          const foreign = yield* request("GET", "/admin/dead-letters", { headers: { origin: "https://evil.example" } })
          expect(problem(foreign)).toEqual([403, "/problems/forbidden"])
        }),
      )
    },
  )
}
