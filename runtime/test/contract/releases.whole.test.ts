import { describe, expect, it, layer } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import formats from "ajv-formats"
import { Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { encode } from "../../events/cloudEvents.ts"
import { folderOf, type LoggedRecord, readContract, readLog, type ReleasedEvent } from "../../contract/released.ts"
import { eventsOf, type Module } from "../../module/Module.ts"
import { modules } from "../../modules.ts"
import { user } from "../../../modules/user/module.ts"
import { eventually, Scenario, scenario } from "../harness/scenario.ts"

const all = Object.values<Module>(modules)
const released = all.flatMap(({ name }) => readContract(folderOf(name)).events)
const recorded = all.flatMap(({ name }) => readLog(folderOf(name)))
const today = eventsOf(all)

/** What these modules could not read or apply, in words. A refusal is a decision of theirs. */
const failuresIn = (modules: ReadonlyArray<Module>) =>
  Effect.gen(function* () {
    const { held } = yield* Scenario
    const found = yield* Effect.forEach(modules, ({ name }) => held(name))
    return found
      .flat()
      .filter(({ status, reason }) => status !== "waiting" && reason !== "rejected")
      .map(({ reaction, reason, error }) => `${reaction}: ${reason}, ${error}`)
  })

/** A released event as its module published it. */
const recordOf = ({ type, version, key, subject }: ReleasedEvent, data: Readonly<Record<string, unknown>>) =>
  encode({
    id: uuidV7Unsafe(),
    source: "/galleria/last-release",
    type,
    version,
    key: String(data[key]),
    subject: String(data[subject]),
    time: new Date().toISOString(),
    traceparent: null,
    data: JSON.stringify(data),
  })

const order = (user_id: number, payment_method: string, product_id = "MOUSE001") => ({
  user_id,
  items: [{ product_id, quantity: 1, price: "5.00" }],
  payment_method,
})

/** One order for each way to end, until each has ended everywhere. */
const everyEnding = Effect.gen(function* () {
  const { post, get, settled } = yield* Scenario
  const { body: user } = yield* post("/users", { email: "ada@example.org", name: "Ada" })
  const place = (method: string, product?: string) =>
    Effect.map(post("/orders", order(user.id, method, product)), ({ body }) => body.id as number)
  yield* place("card_ok")
  yield* place("card_declined")
  yield* place("card_ok", "NONE")
  const refunded = yield* place("card_slow")
  yield* eventually(
    Effect.map(get(`/orders/${refunded}/history`), ({ body }) => expect(JSON.stringify(body)).toContain("held")),
  )
  yield* post(`/orders/${refunded}/cancel`)
  yield* eventually(
    Effect.map(get(`/payments?order_id=${refunded}`), ({ body }) => expect(body.items[0].status).toBe("refunded")),
  )
  yield* settled
})

layer(scenario(all, { USER_WAIT_MS: "60000" }), { excludeTestServices: true })(
  "Today's release, beside the last one",
  (it) => {
    it.effect("publishes events that the last release can read", () =>
      Effect.gen(function* () {
        const { published } = yield* Scenario
        yield* everyEnding
        const ajv = new Ajv2020({ strict: false })
        formats.default(ajv)
        for (const event of today) {
          const events = yield* published(event)
          expect([event.type, events.length > 0]).toEqual([event.type, true])
          const reader = released.find(({ type, version }) => type === event.type && version === event.version)
          // Readers of the last release postpone a newer version, and a new event has no readers there.
          if (reader === undefined) continue
          const judge = ajv.compile(reader.schema)
          for (const { data } of events) {
            expect([event.type, judge(data) || ajv.errorsText(judge.errors)]).toEqual([event.type, true])
          }
        }
      }),
    )

    it.effect("reads each golden payload", () =>
      Effect.gen(function* () {
        const { put, settled } = yield* Scenario
        yield* Effect.forEach(released, (event) =>
          Effect.forEach(event.golden, ({ data }) => put(recordOf(event, data as Readonly<Record<string, unknown>>))),
        )
        yield* settled
        expect(yield* failuresIn(all)).toEqual([])
      }),
    )
  },
)

const endings: Readonly<Record<string, string>> = {
  order_created: "created",
  order_processed: "processed",
  order_failed: "failed",
  order_cancelled: "cancelled",
}

/** What the recorded log says of each order: its amount and its last status. */
const ordersOn = (log: ReadonlyArray<LoggedRecord>) => {
  const orders = new Map<number, { readonly amount: string; readonly status: string }>()
  for (const { topic, data } of log) {
    const status = endings[topic]
    if (status === undefined) continue
    const { order_id, amount } = data as { order_id: number; amount: string }
    orders.set(order_id, { amount, status })
  }
  return orders
}

/** Puts on the log what a module reacts to, as others published it. */
const putRecorded = ({ reactions }: Module) =>
  Effect.gen(function* () {
    const { put, settled } = yield* Scenario
    const topics = new Set(reactions.map(({ event }) => event.type))
    const known = recorded.filter(({ topic }) => topics.has(topic))
    yield* Effect.forEach(known, ({ data, ...record }) => put({ ...record, value: Buffer.from(JSON.stringify(data)) }))
    yield* settled
  })

layer(scenario([user]), { excludeTestServices: true })("The recorded log of the last release", (it) => {
  it.effect("gives today's module user the same orders", () =>
    Effect.gen(function* () {
      const { database } = yield* Scenario
      yield* putRecorded(user)
      expect(yield* failuresIn([user])).toEqual([])
      const rows = yield* database("user")<{ id: number; amount: string; status: string }>`
        select order_id::int as id, amount::text, status from user_orders order by 1`
      expect(new Map(rows.map(({ id, ...order }) => [id, order]))).toEqual(ordersOn(recorded))
    }),
  )
})
describe("The recorded log", () => {
  it("has every event, and the endings of many orders", () => {
    expect(new Set(recorded.map(({ topic }) => topic))).toEqual(new Set(released.map(({ type }) => type)))
    expect(new Set([...ordersOn(recorded).values()].map(({ status }) => status))).toEqual(
      new Set(["processed", "failed", "cancelled"]),
    )
  })
})
