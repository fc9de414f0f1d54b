import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Module } from "../../module/Module.ts"
import { modules as known } from "../../modules.ts"
import { eventually, Scenario, scenario } from "../../test/harness/scenario.ts"

const every = Object.values<Module>(known)

const set = (name: string, body: object) =>
  Effect.flatMap(Scenario, ({ request }) => request("PUT", `/admin/faults/${name}`, { body }))

/** Runs while a fault is on, and switches it off. */
const during = <A, E, R>(name: string, work: Effect.Effect<A, E, R>, setting: object = {}) =>
  Effect.acquireUseRelease(
    Effect.tap(set(name, { enabled: true, ...setting }), ({ status }) => Effect.sync(() => expect(status).toBe(200))),
    () => work,
    () => set(name, { enabled: false }),
  )

let users = 0
const newUser = Effect.gen(function* () {
  const { post } = yield* Scenario
  const { body } = yield* post("/users", { email: `user.${++users}@example.org`, name: "Ada" })
  return body.id as number
})
const newOrder = (user_id: number) =>
  Effect.gen(function* () {
    const { post } = yield* Scenario
    const { status, body } = yield* post("/orders", {
      user_id,
      items: [{ product_id: "MOUSE001", quantity: 1, price: "1" }],
    })
    expect(status).toBe(201)
    return body.id as number
  })

const eventuallyAt = (path: string, body: unknown) =>
  Effect.flatMap(Scenario, ({ get }) =>
    eventually(Effect.map(get(path), (answer) => expect(answer.body).toMatchObject(body as object))),
  )
const isProcessed = (order: number) => eventuallyAt(`/orders/${order}`, { status: "processed" })
const checkIs = (name: string, state: unknown) => eventuallyAt("/readyz", { checks: { [name]: state } })

layer(scenario(every, { FAULTS: "on", USER_WAIT_MS: "30000" }), { excludeTestServices: true })(
  "With FAULTS=on",
  (it) => {
    it.effect("all faults are listed, and off", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const { items } = (yield* get("/admin/faults")).body
        const names = items.map(({ name }: any) => name)
        expect(names).toEqual(names.toSorted())
        expect(names).toEqual(
          expect.arrayContaining([
            "events",
            "mail",
            "provider",
            ...every.map(({ name }) => `relay.${name}`),
            ...every.flatMap(({ reactions }) => reactions.map(({ name }) => `reaction.${name}`)),
          ]),
        )
        expect(items.every(({ enabled, since }: any) => !enabled && since === null)).toBe(true)
      }),
    )

    it.effect("a fault is on from the first call that switches it on, until one switches it off", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const first = (yield* set("mail", { enabled: true })).body
        expect(first).toEqual({ name: "mail", enabled: true, since: expect.any(String) })
        expect((yield* set("mail", { enabled: true })).body).toEqual(first)
        expect((yield* get("/admin/faults")).body.items).toContainEqual(first)
        expect((yield* set("mail", { enabled: false })).body).toEqual({ name: "mail", enabled: false, since: null })
        const [last, before] = (yield* get("/admin/actions")).body.items
        expect(last).toMatchObject({ actor: "loopback", action: "switch a fault off", target: "mail" })
        expect(before).toMatchObject({ actor: "loopback", action: "switch a fault on", target: "mail" })
      }),
    )

    it.effect("a fault that does not exist is not found, and a wrong setting is refused", () =>
      Effect.gen(function* () {
        expect((yield* set("relay.nobody", { enabled: true })).body).toMatchObject({ type: "/problems/not-found" })
        for (const user_id of [-1, 0, 1.5, "1", null, 2 ** 53]) {
          const { errors } = (yield* set("mail", { enabled: "yes", user_id })).body
          expect(errors.map(({ pointer }: any) => pointer)).toEqual(["/enabled", "/user_id"])
        }
      }),
    )

    it.effect("a relay stands still, which /readyz reports, and goes on", () =>
      Effect.gen(function* () {
        const order = yield* newOrder(yield* newUser)
        yield* isProcessed(order)
        const late = yield* during(
          "relay.order",
          Effect.gen(function* () {
            const late = yield* newOrder(1)
            yield* checkIs("relay.order", expect.stringContaining("the fault relay.order is switched on"))
            expect((yield* (yield* Scenario).get(`/payments?order_id=${late}`)).body.items).toEqual([])
            yield* checkIs("relay.user", "ok")
            return late
          }),
        )
        yield* isProcessed(late)
        yield* checkIs("relay.order", "ok")
      }),
    )

    it.effect("a reaction fails for the events of one user, and for no other", () =>
      Effect.gen(function* () {
        const { held, post, get } = yield* Scenario
        const [one, other] = [yield* newUser, yield* newUser]
        yield* during(
          "reaction.payment.open",
          Effect.gen(function* () {
            const orders = [yield* newOrder(one), yield* newOrder(other)]
            yield* isProcessed(orders[1]!)
            yield* eventually(
              Effect.map(held("payment"), (entries) =>
                expect(entries).toMatchObject([
                  { reaction: "payment.open", error: "the fault reaction.payment.open is switched on" },
                ]),
              ),
            )
            expect((yield* get(`/payments?order_id=${orders[0]}`)).body.items).toEqual([])
          }),
          { user_id: one },
        )
        yield* post("/admin/dead-letters/redrive", {})
        yield* eventuallyAt(`/payments?user_id=${one}`, { items: [{ status: "successful" }] })
      }),
    )

    it.effect("the provider does not answer, and is asked again", () =>
      Effect.gen(function* () {
        const user = yield* newUser
        const order = yield* during(
          "provider",
          Effect.gen(function* () {
            const order = yield* newOrder(user)
            yield* eventuallyAt(`/payments?order_id=${order}`, { items: [{ status: "pending" }] })
            yield* Effect.sleep("1 second")
            expect((yield* (yield* Scenario).get(`/payments?order_id=${order}`)).body.items[0].status).toBe("pending")
            return order
          }),
        )
        yield* isProcessed(order)
      }),
    )

    it.effect("no mail is sent, and is sent later", () =>
      Effect.gen(function* () {
        const user = yield* during(
          "mail",
          Effect.gen(function* () {
            const user = yield* newUser
            yield* eventuallyAt(`/notifications?user_id=${user}`, { items: [{ status: "pending" }] })
            yield* Effect.sleep("1 second")
            yield* eventuallyAt(`/notifications?user_id=${user}`, { items: [{ status: "pending" }] })
            return user
          }),
        )
        yield* eventuallyAt(`/notifications?user_id=${user}`, { items: [{ status: "sent" }] })
      }),
    )

    it.effect("the event log cannot be reached, and orders are accepted", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const user = yield* newUser
        yield* isProcessed(yield* newOrder(user))
        const order = yield* during(
          "events",
          Effect.gen(function* () {
            yield* checkIs("events", expect.stringContaining("the fault events is switched on"))
            expect((yield* get("/admin/events")).status).toBe(503)
            return yield* newOrder(user)
          }),
        )
        yield* isProcessed(order)
        yield* checkIs("events", "ok")
      }),
    )
  },
)

layer(scenario([known.user]), { excludeTestServices: true })("Without FAULTS=on", (it) => {
  it.effect("there is no fault", () =>
    Effect.gen(function* () {
      const { get } = yield* Scenario
      for (const { status, body } of [yield* get("/admin/faults"), yield* set("relay.user", { enabled: true })]) {
        expect([status, body.type]).toEqual([404, "/problems/not-found"])
      }
    }),
  )
})
