import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { modules } from "../../modules.ts"
import { eventually, onEveryDatabase, Scenario } from "../../test/harness/scenario.ts"
import { timeIn } from "../events/around.ts"
import { mergeFound } from "./search.ts"

it("timeIn reads the time in a UUIDv7, and in no other id", () => {
  const now = Date.now()
  expect(timeIn(uuidV7Unsafe())! - now).toBeLessThan(60_000)
  expect(timeIn("019B7F4E-5C3A-7D21-9B1E-3F6A5D0C8E42")).toBe(0x019b7f4e5c3a)
  expect(timeIn("019b7f4e-5c3a-4d21-9b1e-3f6a5d0c8e42")).toBeUndefined()
  expect(timeIn("1")).toBeUndefined()
})

it("mergeFound has each thing once, with its order, orders first", () => {
  const id = "e"
  const found = mergeFound([
    {
      items: [
        { kind: "dead-letter", id: "d" },
        { kind: "event", id },
      ],
      gaps: ["a"],
    },
    {
      items: [
        { kind: "event", id, order_id: "7" },
        { kind: "order", id: "1" },
      ],
      gaps: ["a", "b"],
    },
    { items: [{ kind: "event", id }], gaps: [] },
  ])
  expect(found).toEqual({
    items: [
      { kind: "order", id: "1" },
      { kind: "event", id, order_id: "7" },
      { kind: "dead-letter", id: "d" },
    ],
    gaps: ["a", "b"],
  })
})

const find = (q: string, more = "") =>
  Effect.flatMap(Scenario, ({ get }) => get(`/admin/search?q=${encodeURIComponent(q)}${more}`))

/** On a busy machine there may not be enough time to read the log. */
const finds = (q: string, found: object) => eventually(Effect.map(find(q), ({ body }) => expect(body).toEqual(found)))

const each = await onEveryDatabase([modules.user, modules.order])
each("A search", (it) => {
  it.effect("finds an order, a user, an event and a dead letter by their ids", () =>
    Effect.gen(function* () {
      const { post, settled, published, put, get } = yield* Scenario
      const user = yield* post("/users", { email: "a@example.org", name: "A" })
      const order = yield* eventually(
        Effect.map(post("/orders", { user_id: user.body.id, amount: 5 }), (answer) => {
          expect(answer.status).toBe(201)
          return answer
        }),
      )
      yield* settled
      const number = String(order.body.id)
      const both = [
        { kind: "order", id: number },
        { kind: "user", id: number },
      ]
      yield* finds(number, { items: both, gaps: [] })
      const [created] = yield* published({ type: "order_created" } as never)
      const event = { kind: "event", id: created!.id }
      yield* finds(created!.id.toUpperCase(), { items: [{ ...event, order_id: number }], gaps: [] })
      const own = find(created!.id, "&part=own")
      yield* eventually(Effect.map(own, ({ body }) => expect(body).toEqual({ items: [event], gaps: [] })))

      // Found by its time, the log need not be read any further.
      const logged = get(`/admin/events?event_id=${created!.id}&limit=1`)
      yield* eventually(
        Effect.map(logged, ({ body }) =>
          expect(body).toMatchObject({ items: [{ event: { id: created!.id } }], next_cursor: null, scanned_to: null }),
        ),
      )

      yield* put({ topic: "user_created", key: "1", value: Buffer.from('{"user_id":"x"}') })
      const letter = yield* eventually(
        Effect.map(get("/admin/dead-letters"), ({ body }) => {
          expect(body.items).toHaveLength(1)
          return body.items[0]
        }),
      )
      const dead = { kind: "dead-letter", id: letter.id }
      yield* finds(letter.id, { items: [dead], gaps: [] })
      // The id of a foreign event has no time in it.
      yield* finds(letter.event.id, {
        items: [{ kind: "event", id: letter.event.id }, dead],
        gaps: [expect.stringMatching(/UUIDv7/u)],
      })
    }),
  )

  it.effect("finds nothing where there is nothing, and refuses what is no id", () =>
    Effect.gen(function* () {
      yield* finds("99999", { items: [], gaps: [] })
      yield* finds(uuidV7Unsafe(), { items: [], gaps: [] })
      for (const q of ["", "a\u0000", "a".repeat(201)]) {
        const { status, body } = yield* find(q)
        expect([status, body.errors]).toEqual([422, [{ parameter: "q", detail: expect.any(String) }]])
      }
    }),
  )
})
