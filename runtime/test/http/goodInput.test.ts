import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Galleria, start, temporaryFolder } from "../harness/process.ts"
import { spine } from "../harness/spine.ts"
import { ask, type Ask, expectProblem, json, post } from "./ask.ts"
import { goodEmails, goodMoney, goodText, words } from "./badValues.ts"

const folder = temporaryFolder()
let galleria: Galleria
let url: string
let user: number

let last = 0
const anEmail = () => `user.${++last}@example.org`

beforeAll(async () => {
  galleria = await start({ modules: spine, dataDir: folder.path, env: { USER_WAIT_MS: "10000" } })
  url = await galleria.url
  user = (await post(url, "/users", { email: anEmail(), name: "A" })).body.id
  expect((await order({ amount: 1 })).body.id).toBe(1)
})
afterAll(async () => {
  await galleria[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const sent = (path: string, body: Ask["body"], headers: Ask["headers"] = json) =>
  ask(url, { method: "POST", path, headers, ...(body === undefined ? {} : { body }) })

const line = { product_id: "A", quantity: 1, price: "1" }
const lines = (count: number) => Array.from({ length: count }, () => line)
const order = (fields: object) => post(url, "/orders", { user_id: user, ...fields })

describe("What is just good enough", () => {
  it.for(goodText(200))("is a name: %s", async (name) => {
    const { status, body } = await sent("/users", `{"email":"${anEmail()}","name":${name}}`)
    expect(status).toBe(201)
    expect(body.name).toBe(JSON.parse(name))
    expect((await ask(url, { path: `/users/${body.id}` })).body).toEqual(body)
  })

  it.for(goodEmails(++last))("is an e-mail: %s", async (email) => {
    const { status, body } = await sent("/users", `{"email":${email},"name":"A"}`)
    expect({ status, email: body.email }).toEqual({ status: 201, email: JSON.parse(email) })
  })

  it.for(goodMoney)("is an amount, and a price: %s", async ([given, kept]) => {
    const { status, body } = await sent("/orders", `{"user_id":${user},"amount":${given}}`)
    expect({ status, amount: body.amount }).toEqual({ status: 201, amount: kept })
    const items = `[{"product_id":"A","quantity":1,"price":${given}}]`
    const priced = await sent("/orders", `{"user_id":${user},"amount":${given},"items":${items}}`)
    expect({ status: priced.status, items: priced.body.items }).toEqual({
      status: 201,
      items: [{ product_id: "A", product_name: "A", quantity: 1, price: kept }],
    })
  })

  it("is an amount with white space round it, but not within it", async () => {
    expect((await sent("/orders", `\n{ "user_id" :\t${user} ,\r\n "amount" : 1.5 }\n`)).body.amount).toBe("1.50")
  })

  it.for([
    ["a product of 64 characters", { items: [{ ...line, product_id: "aZ0._-".padEnd(64, "9") }] }],
    ["a product's name of 200 characters", { items: [{ ...line, product_name: "😀".repeat(200) }] }],
    ["one of a thing", { items: [line] }],
    ["a million of a thing", { items: [{ ...line, quantity: 1_000_000 }] }],
    [
      "a million of each of two",
      {
        items: [
          { ...line, quantity: 1_000_000 },
          { ...line, product_id: "B", quantity: 1_000_000 },
        ],
      },
    ],
    [
      "a million in two lines",
      {
        items: [
          { ...line, quantity: 400_000 },
          { ...line, quantity: 600_000 },
        ],
      },
    ],
    ["100 lines", { items: lines(100) }],
    [
      "lines that come to the most",
      {
        items: [
          { ...line, price: "99999999.98" },
          { ...line, price: "0.01" },
        ],
      },
    ],
    ["a token of 64 characters", { amount: 1, payment_method: "a0_".repeat(22).slice(0, 64) }],
    ["unknown fields", { amount: 1, id: -1, status: "processed", items_: [null], "": 1, toString: 1 }],
  ] as const)("is an order of %s", async ([, fields]) => {
    expect((await order(fields)).status).toBe(201)
  })

  it("is an integer that is written with a point", async () => {
    const items = '[{"product_id":"A","quantity":2.0,"price":1}]'
    expect(await sent("/orders", `{"user_id":${user}.0,"items":${items}}`)).toMatchObject({
      status: 201,
      body: { amount: "2.00" },
    })
  })

  it.for([
    "application/json",
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8",
    'application/json; charset="utf-8"',
    "Application/JSON",
    " application/json ",
  ])("is the media type %j", async (type) => {
    const body = JSON.stringify({ email: anEmail(), name: "A" })
    expect((await sent("/users", body, { "content-type": type })).status).toBe(201)
  })

  it("is a body with a byte order mark, or members twice, of which the last counts", async () => {
    const body = `\ufeff{"email":"wrong","name":"A","email":"${anEmail()}","__proto__":{"name":1},"constructor":null}`
    expect((await sent("/users", body)).status).toBe(201)
  })

  it("is a body of 1 MiB, whole or in chunks", async () => {
    const body = () => JSON.stringify({ email: anEmail(), name: "A" }).padEnd(1024 * 1024)
    expect((await sent("/users", body())).status).toBe(201)
    const text = body()
    expect((await sent("/users", [text.slice(0, 700_000), text.slice(700_000)])).status).toBe(201)
  })

  it.for([{ expect: "100-continue" }, { connection: "upgrade", upgrade: "h2c" }])(
    "is a body of whom asks for another way to send it: %j",
    async (wish) => {
      const body = JSON.stringify({ email: anEmail(), name: "A" })
      expect((await sent("/users", body, { ...json, ...wish })).status).toBe(201)
    },
  )

  it("is any nesting in an unknown member, even 100,000 levels deep", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
    const headers = { ...json, "idempotency-key": "deep" }
    const body = `{"email":"${anEmail()}","name":"A","more":${deep}}`
    const first = await sent("/users", body, headers)
    expect(first.status).toBe(201)
    expect(await sent("/users", body, headers)).toMatchObject({ status: 201, body: first.body })
  })

  it.for(["a", "a".repeat(255), " ~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}".trim(), "a b"])(
    "is the Idempotency-Key %j",
    async (key) => {
      const body = JSON.stringify({ email: anEmail(), name: "A" })
      const headers = { ...json, "idempotency-key": key }
      expect((await sent("/users", body, headers)).status).toBe(201)
      expect((await sent("/users", body, headers)).headers["idempotency-replayed"]).toBe("true")
    },
  )

  it("is a cancellation without a body, in whatever form there is none, or with any reason", async () => {
    const cancel = async (body: Ask["body"], headers?: Ask["headers"]) => {
      // Processed at once, an order can be cancelled no more: that is how it is seen that the body was taken.
      const { status } = await sent("/orders/1/cancel", body, headers)
      expect([200, 409]).toContain(status)
    }
    await cancel(undefined, {})
    await cancel("", {})
    await cancel("")
    await cancel([])
    await cancel("{}")
    for (const reason of goodText(500)) await cancel(`{"reason":${reason}}`)
  })

  it.for([
    "/users?limit=1",
    "/users?limit=200",
    "/users?limit=%31",
    "/users?foo=1&foo=2&limit=3&__proto__=4",
    "/users?limit[]=0",
    "/users?",
    "/users?&&=",
    "/orders?status=created&limit=1",
    "/orders?status=paid",
    "/orders?user_id=9007199254740991&status=cancelled",
    "/admin/dead-letters?status=parked&module=nobody&reaction=nothing",
    "/admin/dead-letters?status=discarded&limit=200",
  ])("is the query of %s", async (path) => {
    const { status, body } = await ask(url, { path })
    expect(status).toBe(200)
    const more = path.startsWith("/admin/") ? { checked_at: expect.any(String) } : {}
    expect(body).toEqual({ items: expect.any(Array), next_cursor: body.next_cursor, ...more })
  })

  it("is an address with a slash at its end, or with an id that is coded", async () => {
    for (const path of ["/users/", "/users/1/", "/users/%31", "/orders/", "/users/1/orders/", "/problems/"]) {
      expect((await ask(url, { path })).status).toBe(200)
    }
  })
})

describe("A method", () => {
  const served: ReadonlyArray<readonly [string, ...ReadonlyArray<string>]> = [
    ["/users", "GET", "POST"],
    ["/users/", "GET", "POST"],
    ["/users/1", "GET"],
    ["/users/nobody", "GET"],
    ["/users/1/orders", "GET"],
    ["/users/1/order-summary", "GET"],
    ["/orders", "GET", "POST"],
    ["/orders/1", "GET"],
    ["/orders/1/cancel", "POST"],
    ["/orders/1/history", "GET"],
    ["/admin/dead-letters", "GET"],
    ["/admin/dead-letters/x", "GET"],
    ["/admin/dead-letters/x/redrive", "POST"],
    ["/admin/dead-letters/x/discard", "POST"],
    ["/admin/dead-letters/redrive", "GET", "POST"],
    ["/livez", "GET"],
    ["/readyz", "GET"],
    ["/metrics", "GET"],
    ["/problems", "GET"],
    ["/problems/internal", "GET"],
  ]
  const all = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]
  const allowOf = (methods: ReadonlyArray<string>) =>
    [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].toSorted()
  const allowIn = (header: string | undefined) => header?.split(", ").toSorted()

  it.for(served)(
    "that an address does not know is refused, and those that it does are named: %s",
    async ([path, ...methods]) => {
      const allow = allowOf(methods)
      for (const method of all.filter((method) => !allow.includes(method))) {
        const answer = await ask(url, { method, path })
        if (method !== "HEAD") expectProblem(answer, { status: 405, slug: "method-not-allowed" })
        expect(answer.status).toBe(405)
        expect(allowIn(answer.headers["allow"])).toEqual(allow)
      }
      const options = await ask(url, { method: "OPTIONS", path })
      expect({ status: options.status, allow: allowIn(options.headers["allow"]), text: options.text }).toEqual({
        status: 204,
        allow,
        text: "",
      })
    },
  )

  it("on an address that is none is not found", async () => {
    for (const method of [...all, "OPTIONS"]) expect((await ask(url, { method, path: "/nowhere" })).status).toBe(404)
  })

  it.for(
    words(`/users /users/1 /users/9007199254740991 /users?limit=0 /users?cursor=x /users/0 /orders /orders/1/history
      /admin/dead-letters /problems /problems/internal /livez /nowhere`),
  )("HEAD answers as GET, without the body: %s", async (path) => {
    const [head, got] = [await ask(url, { method: "HEAD", path }), await ask(url, { path })]
    const { date: _, ...headers } = got.headers
    expect(head).toMatchObject({ status: got.status, text: "" })
    expect(head.headers).toMatchObject(headers)
  })
})
