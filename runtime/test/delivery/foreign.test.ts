import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { order } from "../../../modules/order/module.ts"
import { user } from "../../../modules/user/module.ts"
import { eventually, onEveryDatabase, Scenario } from "../harness/scenario.ts"

const deep = (levels: number) => `{"order_id":${"[".repeat(levels)}${"]".repeat(levels)}}`
const topic = "order_created"

/** Values of records that no reaction can read, and whether they are shown as JSON. */
const values: ReadonlyArray<readonly [what: string, value: string | Buffer, isJson: boolean]> = [
  ["an object", `{"order_id":"x","nested":{"list":[1,2.5,null,true,"é"]}}`, true],
  ["numbers that fit", `{"order_id":"x","n":[9007199254740991,-0.5,1e3,123456789.123456]}`, true],
  ["a number beyond all numbers", `{"order_id":1e400}`, false],
  ["a number that is closer to zero than any", `{"order_id":"x","n":1e-400}`, false],
  ["a whole number that is rounded", `{"order_id":"x","n":12345678901234567890}`, false],
  ["a fraction that is rounded", `{"order_id":"x","n":0.1000000000000000055}`, false],
  ["a number of a million digits", `{"order_id":"x","n":${"1".repeat(500_000)}}`, false],
  ["an exponent that no memory holds", `{"order_id":"x","n":1e-999999999999}`, false],
  ["20 levels", deep(20), true],
  ["5,000 levels", deep(5_000), false],
  ["100,000 levels", deep(100_000), false],
  ["names of what objects inherit", `{"order_id":"x","__proto__":{"a":1},"constructor":2,"toString":"3"}`, true],
  ["text that no database takes", `{"order_id":"x","a":"\\u0000","b":"\\ud800"}`, true],
  ["what is not JSON", "{'order_id': 1}\u0000\n", false],
  ["a list", "[1]", true],
  ["a number alone", "1e400", false],
  ["nothing", "", false],
  ["bytes that are no text", Buffer.from("ff00fe", "hex"), false],
  ["much", `{"order_id":"x","text":"${"a".repeat(800_000)}"}`, true],
]

const structured = { "content-type": "application/cloudevents+json" }
const envelope = (data: string) =>
  `{"specversion":"1.0","id":"e","source":"/x","type":"${topic}","time":"2026-01-02T03:04:05Z","data":${data}}`

const headers: ReadonlyArray<Readonly<Record<string, string>>> = [
  { "": "no name" },
  { ["__proto__"]: "a", constructor: "b" },
  { large: "a".repeat(100_000), odd: "\u0001\r\n\u2028" },
  { ce_id: "h", ce_source: "/x", ce_type: topic, ce_specversion: "1.0", ce_time: "yesterday\u0001" },
]

const all = Effect.gen(function* () {
  const { get } = yield* Scenario
  const items: Array<any> = []
  for (let next = ""; ;) {
    const { status, body } = yield* get(`/admin/dead-letters?limit=200&module=user${next}`)
    expect(status).toBe(200)
    items.push(...body.items)
    if (body.next_cursor === null) return items
    next = `&cursor=${encodeURIComponent(body.next_cursor)}`
  }
})

const onEvery = await onEveryDatabase([user])
onEvery("A record of a foreign producer that steps aside", (it) => {
  it.effect.each(values)("is shown as JSON where that says the same, else as its text: %s", ([, value, isJson]) =>
    Effect.gen(function* () {
      const { put, post, get } = yield* Scenario
      yield* put({ topic, value: Buffer.from(value) })
      // It is tried again after a second, which may be between the two reads.
      const entry = yield* eventually(
        Effect.gen(function* () {
          const items = yield* all
          expect(items).toHaveLength(1)
          expect((yield* get(`/admin/dead-letters/${items[0].id}`)).body).toMatchObject(items[0])
          return items[0]
        }),
      )
      const text = value.toString()
      expect(entry.event.data).toEqual(isJson ? JSON.parse(text) : text)
      const discarded = yield* post(`/admin/dead-letters/${entry.id}/discard`)
      expect(discarded).toMatchObject({ status: 200, body: { id: entry.id, status: "discarded" } })
      expect(yield* all).toEqual([])
    }),
  )

  it.effect("hides no other from the list, whatever its headers and its envelope are", () =>
    Effect.gen(function* () {
      const { put, post, settled } = yield* Scenario
      for (const [n, more] of headers.entries()) {
        yield* put({ topic, value: Buffer.from(`{"order_id":"x${n}"}`), headers: more })
      }
      for (const [, value] of values)
        yield* put({ topic, value: Buffer.from(envelope(value.toString())), headers: structured })
      yield* settled
      const items = yield* all
      // The envelopes that can be read are of one event, which is taken once.
      expect(items.length).toBeGreaterThan(headers.length + 3)
      for (const { id } of items) {
        expect((yield* post(`/admin/dead-letters/${id}/redrive`)).status).toBe(200)
        expect((yield* post(`/admin/dead-letters/${id}/discard`)).status).toBe(200)
      }
      expect(yield* all).toEqual([])
    }),
  )
})

const onEveryOrder = await onEveryDatabase([order], { ORDER_STEPS: "payment" })
onEveryOrder("A foreign producer's fact in the history of an order", (it) => {
  it.effect.each([`1e400`, "12345678901234567890", deep(3_000), deep(100_000)])("hides none of it: %s", (value) =>
    Effect.gen(function* () {
      const { put, post, get, settled } = yield* Scenario
      yield* put({ topic: "user_created", value: Buffer.from(`{"user_id":1,"email":"a@example.org","name":"A"}`) })
      const placed = yield* eventually(
        Effect.tap(post("/orders", { user_id: 1, amount: 5 }), ({ status }) =>
          Effect.sync(() => expect(status).toBe(201)),
        ),
      )
      const { id } = placed.body
      const fact = `{"payment_id":1,"order_id":${id},"user_id":1,"amount":"5.00","more":${value}}`
      yield* put({ topic: "payment_successful", value: Buffer.from(fact) })
      yield* settled
      expect((yield* get(`/orders/${id}/history`)).status).toBe(200)
      expect((yield* get("/admin/dead-letters")).status).toBe(200)
    }),
  )
})
