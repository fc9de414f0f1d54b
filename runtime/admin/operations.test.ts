import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { order } from "../../modules/order/module.ts"
import { PaymentSuccessful } from "../../modules/payment/contract/events.ts"
import { ask, expectProblem, json } from "../test/http/ask.ts"
import { eventually, onEveryDatabase, Scenario } from "../test/harness/scenario.ts"

interface Row {
  readonly event_id: string
  readonly key?: string
  readonly status?: string
  readonly cause?: string
  readonly failed?: Date
}

const long = new Date(Date.now() - 3_600_000)
const far = new Date(Date.now() + 3_600_000)

/** Adds dead letters of a reaction that does not exist, so that none of them takes effect. */
const add = (...rows: ReadonlyArray<Row>) =>
  Effect.gen(function* () {
    const sql = (yield* Scenario).database("order")
    for (const { event_id, key = event_id, status = "parked", cause = "c1", failed = long } of rows) {
      const event = { id: event_id, source: "/s", type: "t", key, headers: {}, time: 0, value: '{"order_id":7}' }
      yield* sql`
        insert into held (id, reaction, key, source, event_id, status, attempts, reason, error, topic, partition, "offset",
          event, due, first_failed_at, last_failed_at, created_at, cause)
        values (${uuidV7Unsafe()}, 'order.gone', ${key}, '/s', ${event_id}, ${status}, 1, 'failed', ${`no ${event_id}`},
          't', 0, 0, ${JSON.stringify(event)}::json, ${status === "waiting" ? long : far}, ${failed}, ${failed}, ${failed}, ${cause})`
    }
  })

const clear = Effect.gen(function* () {
  const sql = (yield* Scenario).database("order")
  yield* sql`delete from held`
  yield* sql`delete from action`
})

const statuses = Effect.gen(function* () {
  const sql = (yield* Scenario).database("order")
  const rows = yield* sql<{ line: string }>`select event_id || ' ' || status as line from held order by event_id`
  return rows.map(({ line }) => line)
})

const get = (path: string) => Effect.flatMap(Scenario, (scenario) => scenario.get(path))
const post = (path: string, body?: unknown, headers?: Readonly<Record<string, string>>) =>
  Effect.flatMap(Scenario, (scenario) => scenario.post(path, body, headers))

const each = await onEveryDatabase([order])
each("Operators", (it) => {
  it.effect("see dead letters by cause, the largest group first, with what waits behind them", () =>
    Effect.gen(function* () {
      yield* clear
      yield* add(
        { event_id: "a1", cause: "c2" },
        { event_id: "b1", key: "b" },
        { event_id: "b2", key: "b", status: "waiting" },
        { event_id: "b3", key: "b", status: "waiting" },
        { event_id: "c1" },
        { event_id: "d1", status: "retrying" },
        { event_id: "e1", status: "discarded" },
      )
      const { body } = yield* get("/admin/dead-letters/groups")
      expect(body.more).toBe(0)
      expect(
        body.items.map(({ cause, status, count, keys, waiting, error }: any) => [
          cause,
          status,
          count,
          keys,
          waiting,
          error,
        ]),
      ).toEqual([
        ["c1", "parked", 2, 2, 2, "no c1"],
        ["c1", "retrying", 1, 1, 0, "no d1"],
        ["c2", "parked", 1, 1, 0, "no a1"],
      ])
      expect(body.items[0]).toMatchObject({
        module: "order",
        reaction: "order.gone",
        type: "t",
        capped: false,
        first_failed_at: long.toISOString(),
      })
      const parked = yield* get("/admin/dead-letters/groups?status=retrying")
      expect(parked.body.items).toHaveLength(1)
      const listed = yield* get("/admin/dead-letters?cause=c2")
      expect(listed.body.items.map(({ event }: any) => event.id)).toEqual(["a1"])
    }),
  )

  it.effect("discard what matches and failed until then, in calls of one operation, which is one action", () =>
    Effect.gen(function* () {
      yield* clear
      yield* add(
        { event_id: "a1", key: "a" },
        { event_id: "a2", key: "a", status: "waiting" },
        { event_id: "b1" },
        { event_id: "c1" },
        { event_id: "d1", cause: "c2" },
        { event_id: "e1", failed: new Date() },
      )
      const operation = crypto.randomUUID()
      const until = new Date(Date.now() - 60_000).toISOString()
      const bulk = { cause: "c1", until, operation, limit: 2 }
      const discard = Effect.map(post("/admin/dead-letters/discard", bulk, { "x-actor": "ada" }), ({ body }) => [
        body.discarded,
        body.remaining,
        body.operation,
      ])
      const counted = yield* post("/admin/dead-letters/discard", { ...bulk, limit: 0 })
      expect(counted.body).toEqual({ discarded: 0, remaining: 3, operation })
      expect(yield* discard).toEqual([2, 1, operation])
      expect(yield* discard).toEqual([1, 0, operation])
      expect(yield* discard).toEqual([0, 0, operation])
      yield* eventually(
        Effect.map(statuses, (lines) =>
          expect(lines).toEqual([
            "a1 discarded",
            "a2 retrying",
            "b1 discarded",
            "c1 discarded",
            "d1 parked",
            "e1 parked",
          ]),
        ),
      )
      const { body } = yield* get(`/admin/operations/${operation}`)
      expect(body).toMatchObject({
        id: operation,
        action: "discard",
        actor: "ada",
        counts: { discarded: 3, parked: 0 },
      })
      const actions = yield* get("/admin/actions")
      expect(actions.body.items).toEqual([
        {
          id: expect.any(String),
          at: expect.any(String),
          actor: "ada",
          action: "discard",
          target: "all that match",
          details: { module: "order", cause: "c1", until, count: 3, operation },
        },
      ])
    }),
  )

  it.effect("redrive what matches once an operation, and are shown what became of it", () =>
    Effect.gen(function* () {
      yield* clear
      const { publish, database } = yield* Scenario
      const paid = (order_id: number) =>
        publish(PaymentSuccessful, { payment_id: order_id, order_id, user_id: 1, amount: "5.00" })
      yield* paid(5_000)
      yield* paid(5_001)
      yield* eventually(
        Effect.map(get("/admin/dead-letters?status=parked"), ({ body }) => expect(body.items).toHaveLength(2)),
      )
      yield* database("order")`
        insert into orders (id, user_id, amount, status, items, payment_method, steps, created_at)
        values (5000, 1, 5, 'created', '[]', 'card_ok', '["payment"]', now())`
      const redriven = yield* post("/admin/dead-letters/redrive", { reaction: "order.learn-paid" })
      expect(redriven.body).toMatchObject({ redriven: 2, remaining: 0 })
      const operation = `/admin/operations/${redriven.body.operation}`
      yield* eventually(
        Effect.map(get(operation), ({ body }) =>
          expect(body.counts).toEqual({ applied: 1, waiting: 0, retrying: 0, parked: 1, discarded: 0 }),
        ),
      )
      const { body } = yield* get("/admin/dead-letters?status=redriven")
      expect(body.items).toHaveLength(1)
      const entry = yield* get(`/admin/dead-letters/${body.items[0].id}`)
      expect(entry.body).toMatchObject({
        order_id: 5_000,
        ended_at: expect.any(String),
        raw: expect.stringContaining('"order_id":5000'),
        attempt_log: [{ error: "there is no order 5000" }],
      })
      const parked = yield* get("/admin/dead-letters?status=parked")
      const again = yield* get(`/admin/dead-letters/${parked.body.items[0].id}`)
      expect(again.body.attempt_log.map(({ took_ms }: any) => typeof took_ms)).toEqual(["object", "number"])
    }),
  )

  it.effect("redrive an event with other data, of which each digit is kept, and are shown what is wrong with it", () =>
    Effect.gen(function* () {
      yield* clear
      const { put, url, database } = yield* Scenario
      yield* put({ topic: "payment_successful", key: "1", value: Buffer.from('{"payment_id":1,"order_id":"x"}') })
      const listed = yield* eventually(
        Effect.map(get("/admin/dead-letters"), ({ body }) => {
          expect(body.items).toHaveLength(1)
          return body.items[0]
        }),
      )
      const path = `/admin/dead-letters/${listed.id}`
      const redrive = (body: string) =>
        Effect.promise(() => ask(url, { method: "POST", path: `${path}/redrive`, headers: json, body }))
      const wrong = yield* redrive('{"data":{"order_id":-1,"user_id":1,"amount":"x"}}')
      const pointers = ["/data/payment_id", "/data/order_id", "/data/amount"]
      expectProblem(wrong, { status: 422, slug: "validation-failed", pointers })
      expectProblem(yield* redrive("{}"), { status: 422, slug: "validation-failed", pointers: ["/data"] })
      expect((yield* get(path)).body).toMatchObject({ edited: false, status: listed.status })

      yield* database("order")`
        insert into orders (id, user_id, amount, status, items, payment_method, steps, created_at)
        values (6000, 1, 5, 'created', '[]', 'card_ok', '["payment"]', now())`
      const data = '{ "payment_id":1,"order_id":6000,"user_id":1,"amount":"5.00","more":[12345678901234567890,1e2]}'
      const { status, body } = yield* redrive(`{"data":{},"data": ${data}}`)
      expect([status, body.edited, body.attempts]).toEqual([200, true, 0])
      yield* eventually(
        Effect.map(get(path), ({ body }) =>
          expect(body).toMatchObject({
            status: "redriven",
            raw: data,
            original: { data: { payment_id: 1, order_id: "x" } },
          }),
        ),
      )
      const { body: order } = yield* get("/orders/6000")
      expect(order.status).toBe("processed")
    }),
  )

  it.effect("see personal data only when they ask for it, which is recorded", () =>
    Effect.gen(function* () {
      yield* clear
      const { put, url } = yield* Scenario
      const raw = '{"user_id":"x","email":"ada@example.org","name":"Ada","born":12345678901234567890}'
      const headers = { authorization: "Bearer abc" }
      yield* put({ topic: "user_created", key: "1", value: Buffer.from(raw), headers })
      const textOf = (path: string) =>
        Effect.map(
          Effect.promise(() => ask(url, { path })),
          ({ text }) => text,
        )
      const { id } = yield* eventually(
        Effect.map(get("/admin/dead-letters?personal=hide"), ({ body }) => {
          expect(body.items).toHaveLength(1)
          return body.items[0]
        }),
      )
      const one = `/admin/dead-letters/${id}`
      const hiding = ["/admin/dead-letters?", `${one}?`, "/admin/events?topic=user_created&"].map(
        (path) => `${path}personal=hide`,
      )
      for (const path of hiding) {
        const text = yield* textOf(path)
        expect([path, /ada|Bearer/iu.exec(text)?.[0]]).toEqual([path, undefined])
        expect(text).toContain("e-mail, 15 characters")
      }
      expect((yield* get(`${one}?personal=hide`)).body.raw).toContain('"born":12345678901234567890')
      const redriven = yield* post(`${one}/redrive?personal=hide`)
      expect(JSON.stringify(redriven.body)).not.toMatch(/ada/iu)
      yield* clear
      yield* put({ topic: "user_created", key: "1", value: Buffer.from(raw) })
      const brief = yield* eventually(
        Effect.map(get("/admin/dead-letters?brief"), ({ body }) => {
          expect(body.items).toHaveLength(1)
          return body
        }),
      )
      expect(Object.keys(brief.items[0].event).toSorted()).toEqual(["id", "key", "source", "time", "type"])
      for (const path of ["/admin/dead-letters", "/admin/dead-letters/groups"]) {
        const asked = Date.now()
        const { body } = yield* get(path)
        expect(Date.parse(body.checked_at)).toBeGreaterThanOrEqual(asked)
        expect(Date.parse(body.checked_at)).toBeLessThanOrEqual(Date.now())
      }
      const other = `/admin/dead-letters/${brief.items[0].id}`
      expect((yield* get(other)).body.raw).toBe(raw)
      expect((yield* get("/admin/actions")).body.items).toEqual([])
      expect((yield* get(`${other}?personal=show`)).body.raw).toBe(raw)
      expect((yield* get("/admin/actions")).body.items).toMatchObject([
        { action: "show personal data", target: `dead letter ${brief.items[0].id}`, details: { module: "order" } },
      ])
      expect((yield* get(`${other}?personal=maybe`)).status).toBe(422)
      yield* clear
      yield* add({ event_id: "ada@example.org" })
      for (const path of ["/admin/dead-letters", "/admin/dead-letters/groups"]) {
        expect((yield* get(path)).body.items).toMatchObject([{ error: "no ‹e-mail›" }])
      }
    }),
  )

  it.effect("are recorded when they act on one, and not when nothing changes", () =>
    Effect.gen(function* () {
      yield* clear
      yield* add({ event_id: "a1" })
      const { body } = yield* get("/admin/dead-letters")
      const { id } = body.items[0]
      yield* post(`/admin/dead-letters/${id}/discard`, undefined, { "x-actor": "bob" })
      yield* post(`/admin/dead-letters/${id}/redrive`)
      const actions = yield* get("/admin/actions")
      expect(actions.body.items.map(({ actor, action, target }: any) => [actor, action, target])).toEqual([
        ["bob", "discard", `dead letter ${id}`],
      ])
      expect((yield* get(`/admin/operations/${id}`)).status).toBe(404)
    }),
  )
})
