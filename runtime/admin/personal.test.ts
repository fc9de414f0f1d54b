import { expect, it } from "@effect/vitest"
import { OrderCreated } from "../../modules/order/contract/events.ts"
import { UserCreated } from "../../modules/user/contract/events.ts"
import type { Received } from "../events/EventBus.ts"
import { contractsOf, hidePersonal, hidePersonalData, withoutMails, withoutSecrets } from "./personal.ts"

const contracts = contractsOf([UserCreated, OrderCreated])

const record = (topic: string, value: string | null, headers = {}): Received => ({
  topic,
  partition: 0,
  offset: 0,
  time: 0,
  key: "1",
  value: value === null ? null : Buffer.from(value),
  headers,
})
const hide = (topic: string, value: string, headers = {}) => hidePersonal(record(topic, value, headers), contracts)

const user = '{ "user_id":1,"email":"ada@example.org","name":"Zoë 😀", "more":12345678901234567890}'
const hiddenUser =
  '{ "user_id":1,"email":{"hidden":"e-mail, 15 characters"},"name":{"hidden":"name, 5 characters"}, "more":12345678901234567890}'

it("what a contract annotates as personal is hidden in place, and nothing else is changed", () => {
  expect(hide("user_created", user)).toBe(hiddenUser)
  const order = '{"order_id":1,"user_id":1,"amount":"5.00","payment_method":"card_ok","items":[]}'
  expect(hide("order_created", order)).toBe(order.replace('"card_ok"', '{"hidden":"payment method, 7 characters"}'))
  expect(hidePersonalData("user_created", JSON.parse(user), contracts)).toMatchObject({
    user_id: 1,
    email: { hidden: "e-mail, 15 characters" },
  })
})

it("in a structured event it is hidden in the data", () => {
  const headers = { "content-type": "application/cloudevents+json" }
  const envelope = (data: string) =>
    `{"specversion":"1.0","id":"e","source":"/s","type":"user_created","email":"x","data":${data}}`
  expect(hide("user_created", envelope(user), headers)).toBe(envelope(hiddenUser))
})

it("in an event that fails its schema every value is hidden but ids, money, numbers and words of the contract", () => {
  const bad = {
    order_id: "4711",
    user_id: "ada@example.org",
    amount: "5.00",
    steps: ["payment", "dancing"],
    items: [{ product_id: "LAPTOP001", product_name: "Ada's laptop", quantity: 1.5, given: true }],
    trace: "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42",
    payment_method: { card: "4242" },
    phone: "004912345",
  }
  expect(JSON.parse(hide("order_created", JSON.stringify(bad)))).toEqual({
    ...bad,
    user_id: { hidden: "text, 15 characters" },
    steps: ["payment", { hidden: "text, 7 characters" }],
    items: [{ ...bad.items[0], product_name: { hidden: "text, 12 characters" } }],
    payment_method: { hidden: "payment method, 15 characters" },
    phone: { hidden: "text, 9 characters" },
  })
})

it("of an unknown type or a newer version every text is hidden", () => {
  expect(hide("other", '{"a":"x","b":1}')).toBe('{"a":{"hidden":"text, 1 character"},"b":1}')
  const said = { ce_specversion: "1.0", ce_id: "e", ce_source: "/s", ce_type: "user_created" }
  const newer = { ...said, ce_dataschema: "/schemas/user_created/2" }
  expect(hide("user_created", '{"user_id":1,"email":"a","name":"b","born":"1999"}', newer)).not.toMatch(/1999/u)
})

it("text that is no JSON, or too deep to be shown as JSON, is hidden whole", () => {
  expect(hide("user_created", "no JSON")).toBe('{"hidden":"text, 7 characters"}')
  expect(hide("user_created", "")).toBe('{"hidden":"text, 0 characters"}')
  const deep = `{"a":${"[".repeat(100_000)}"Ada"${"]".repeat(100_000)}}`
  expect(hide("user_created", deep)).toBe(`{"hidden":"text, ${deep.length} characters"}`)
})

it("errors have no e-mail addresses, and headers no secrets", () => {
  expect(withoutMails("ada@example.org is known, so is <bob@example.org>")).toBe("‹e-mail› is known, so is <‹e-mail›>")
  expect(withoutMails(null)).toBeNull()
  const headers = { traceparent: "00-1", Cookie: "c", "x-api-key": "k", "my-token": "t", authorization: "a" }
  expect(withoutSecrets(headers)).toEqual({
    traceparent: "00-1",
    Cookie: "‹hidden›",
    "x-api-key": "‹hidden›",
    "my-token": "‹hidden›",
    authorization: "‹hidden›",
  })
})
