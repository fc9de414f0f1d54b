import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { modules } from "../../modules.ts"
import { eventually, onEveryDatabase, Scenario } from "../../test/harness/scenario.ts"

const overview = Effect.gen(function* () {
  const { get } = yield* Scenario
  const { status, body } = yield* get("/admin/overview")
  expect(status).toBe(200)
  return body
})

const moduleOf = (name: string) =>
  Effect.map(overview, (body) => body.modules.find((one: { module: string }) => one.module === name))

const each = await onEveryDatabase(Object.values(modules))
each("The overview", (it) => {
  it.effect("has every module with its events, checks, outbox, consumers and dead letters", () =>
    Effect.gen(function* () {
      const { settled } = yield* Scenario
      yield* settled
      const body = yield* overview
      expect(body.modules.map((one: { module: string }) => one.module)).toEqual(Object.keys(modules))
      expect(body.waits).toEqual([])
      expect(Date.parse(body.checked_at)).toBeGreaterThan(Date.now() - 5_000)
      expect(yield* moduleOf("user")).toMatchObject({
        state: "ready",
        release: expect.any(String),
        started_at: expect.any(String),
        publishes: ["user_created", "user_order_summary_updated"],
        reacts: ["order_created", "order_processed", "order_failed", "order_cancelled"],
        checks: { events: "ok", "database.user": "ok" },
        outbox: { pending: 0, oldest_age_seconds: 0 },
        dead_letters: { retrying: 0, parked: 0, waiting: 0 },
      })
      const { consumers } = yield* moduleOf("user")
      expect(consumers.map(({ topic, lag }: any) => `${topic} ${lag}`)).toEqual(
        ["order_created", "order_processed", "order_failed", "order_cancelled"].map((topic) => `${topic} 0`),
      )
    }),
  )

  it.effect("has rates once it was asked twice", () =>
    eventually(
      Effect.gen(function* () {
        const { post, settled } = yield* Scenario
        yield* overview
        yield* Effect.sleep("1100 millis")
        const { status } = yield* post("/users", { email: `${crypto.randomUUID()}@example.org`, name: "Ada" })
        expect(status).toBe(201)
        yield* settled
        const { modules: shown } = yield* overview
        const ratesOf = (name: string) => shown.find(({ module }: any) => module === name).rates
        expect(ratesOf("user").published_per_s ?? 0).toBeGreaterThan(0)
        const created = ratesOf("user").topics.find(({ topic }: any) => topic === "user_created")
        expect(created.published_per_s ?? 0).toBeGreaterThan(0)
        expect(ratesOf("order").applied_per_s ?? 0).toBeGreaterThan(0)
      }),
    ),
  )

  it.effect("names an order that waits, and a call that fails in its place", () =>
    Effect.gen(function* () {
      const { database, post } = yield* Scenario
      const { body } = yield* post("/orders", { user_id: 1, amount: "5.00", payment_method: "card_down" })
      const long = new Date(Date.now() - 120_000)
      yield* database("order")`update orders set created_at = ${long} where id = ${body.id}`
      yield* eventually(
        Effect.gen(function* () {
          const { waits } = yield* overview
          expect(waits).toContainEqual(
            expect.objectContaining({ kind: "charge", module: "payment", count: 1, sample: [String(body.id)] }),
          )
          expect(waits.map(({ kind }: { kind: string }) => kind)).not.toContain("order")
        }),
      )
      yield* database("payment")`delete from task`
      yield* eventually(
        Effect.map(overview, ({ waits }) =>
          expect(waits).toEqual([
            {
              kind: "order",
              module: "payment",
              count: 1,
              capped: false,
              oldest_at: long.toISOString(),
              why: expect.stringContaining("not processed"),
              sample: [String(body.id)],
            },
          ]),
        ),
      )
    }),
  )
})
