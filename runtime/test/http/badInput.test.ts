import { Schema } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { api as adminApi } from "../../admin/api.ts"
import type { Module } from "../../module/Module.ts"
import { modules } from "../../modules.ts"
import { type Galleria, start, temporaryFolder, until } from "../harness/process.ts"
import { endpointsOf } from "../../http/openapi/document.ts"
import { type Ask, ask, type Expected, expectProblem, json, post } from "./ask.ts"
import * as bad from "./badValues.ts"
import { type Json, words } from "./badValues.ts"

const folder = temporaryFolder()
let galleria: Galleria
let url: string
/** A user and an order that exist, so that nothing is refused for the lack of them. */
let user: number
let order: number

beforeAll(async () => {
  galleria = await start({ dataDir: folder.path, env: { USER_WAIT_MS: "1000" } })
  url = await galleria.url
  user = (await post(url, "/users", { email: "known@example.org", name: "Known" })).body.id
  order = (await post(url, "/orders", { user_id: user, amount: 1 })).body.id
  expect([user, order]).toEqual([1, 1])
})
afterAll(async () => {
  await galleria[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

/** A request that must be refused, and how. */
interface Case extends Ask, Expected {
  readonly name: string
}

type Fields = Readonly<Record<string, Json | undefined>>

/** An object of these fields; one that is undefined is left out. */
const object = (fields: Fields): Json =>
  `{${Object.entries(fields)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${JSON.stringify(name)}:${value}`]))
    .join(",")}}`

const short = (text: string) => (text.length < 50 ? text : `${text.slice(0, 30)}… (${text.length})`)

const invalid = { status: 422, slug: "validation-failed" } as const

const refusedBody = (path: string, body: Json, ...pointers: ReadonlyArray<string>): Case => ({
  name: `POST ${path} ${short(body)} at ${pointers.map((pointer) => JSON.stringify(pointer)).join(", ")}`,
  method: "POST",
  path,
  headers: json,
  body,
  ...invalid,
  pointers,
})

/** One case for each value that a field must not have; undefined leaves it out. */
const refusedField = (
  path: string,
  pointer: string,
  values: ReadonlyArray<Json | undefined>,
  body: (value: Json | undefined) => Json,
): ReadonlyArray<Case> =>
  values.map((value) => ({
    ...refusedBody(path, body(value), pointer),
    name: `POST ${path}, ${pointer}: ${value === undefined ? "left out" : short(value)}`,
  }))

/** A whole body that is no object. */
const notObjects: ReadonlyArray<Json> = ["1", "true", '"{}"', "[]", "[{}]", "[1,2]"]

const email = '"refused@example.org"'
const name = '"Refused"'
const line = { product_id: '"A"', quantity: "1", price: "1" }
const items = (...lines: ReadonlyArray<Fields>) => `[${lines.map(object).join(",")}]`
const ofUser = (fields: Fields) => object({ user_id: "1", ...fields })
const withLine = (field: string) => (value: Json | undefined) => ofUser({ items: items({ ...line, [field]: value }) })
const withSecondLine = (field: string) => (value: Json | undefined) =>
  ofUser({ items: items(line, { ...line, [field]: value }) })
const lines = (count: number) => items(...Array.from({ length: count }, () => line))

const users: ReadonlyArray<Case> = [
  ...refusedField("/users", "/email", [undefined, ...bad.badEmails], (email) => object({ email, name })),
  ...refusedField("/users", "/name", [undefined, ...bad.badText(200)], (name) => object({ email, name })),
  ...[...notObjects, "null"].map((body) => refusedBody("/users", body, "")),
  refusedBody("/users", "{}", "/email", "/name"),
  refusedBody("/users", object({ email: "1", name: '""', id: "null" }), "/email", "/name"),
  refusedBody("/users", `{"__proto__":${object({ email, name })}}`, "/email", "/name"),
  refusedBody("/users", object({ Email: email, NAME: name }), "/email", "/name"),
  refusedBody("/users", `${'{"name":'.repeat(100_000)}1${"}".repeat(100_000)}`, "/email", "/name"),
  refusedBody("/users", `{"email":${email},"name":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "/name"),
  // The last of two members wins.
  refusedBody("/users", `{"email":${email},"name":${name},"name":""}`, "/name"),
]

const orders: ReadonlyArray<Case> = [
  ...refusedField("/orders", "/user_id", [undefined, ...bad.badInteger(1, Number.MAX_SAFE_INTEGER)], (user_id) =>
    object({ user_id, amount: "1" }),
  ),
  ...refusedField("/orders", "/amount", bad.badMoney, (amount) => ofUser({ amount })),
  ...refusedField("/orders", "/payment_method", bad.badToken("Card_ok", "card-ok", "card.ok"), (payment_method) =>
    ofUser({ amount: "1", payment_method }),
  ),
  ...refusedField("/orders", "/items", ["null", "1", '"a"', "{}", "true", "[]", lines(101), lines(1_000)], (items) =>
    ofUser({ items }),
  ),
  ...refusedField("/orders", "/items/0", ["null", "1", '"a"', "true", "[]"], (item) => ofUser({ items: `[${item}]` })),
  ...refusedField("/orders", "/items/0/price", [undefined, ...bad.badMoney], withLine("price")),
  ...refusedField(
    "/orders",
    "/items/1/product_id",
    [undefined, ...bad.badToken("a:b", "a@b", "a,b")],
    withSecondLine("product_id"),
  ),
  ...refusedField("/orders", "/items/1/product_name", bad.badText(200), withSecondLine("product_name")),
  ...refusedField(
    "/orders",
    "/items/1/quantity",
    [undefined, ...bad.badInteger(1, 1_000_000)],
    withSecondLine("quantity"),
  ),
  ...[...notObjects, "null"].map((body) => refusedBody("/orders", body, "")),
  refusedBody("/orders", "{}", "/user_id"),
  refusedBody("/orders", ofUser({}), ""),
  refusedBody("/orders", ofUser({ payment_method: '"card_ok"' }), ""),
  refusedBody(
    "/orders",
    object({ user_id: "0", amount: "0", payment_method: '""' }),
    "/user_id",
    "/amount",
    "/payment_method",
  ),
  refusedBody(
    "/orders",
    object({
      user_id: '"1"',
      amount: '"1.234"',
      items: items(line, { product_id: '""', product_name: '" "', quantity: "0", price: "-1" }, line, {}),
      payment_method: "null",
    }),
    "/user_id",
    "/amount",
    "/payment_method",
    ...["product_id", "product_name", "quantity", "price"].map((field) => `/items/1/${field}`),
    ...["product_id", "quantity", "price"].map((field) => `/items/3/${field}`),
  ),
  // The amount and the items that disagree, be it by a cent.
  ...["1.01", "0.99", '"2.00"', "99999999.99"].map((amount) =>
    refusedBody("/orders", ofUser({ amount, items: items(line) }), "/amount"),
  ),
  refusedBody(
    "/orders",
    ofUser({ amount: "0.3", items: items({ ...line, price: "0.1" }, { ...line, price: "0.21" }) }),
    "/amount",
  ),
  // Lines that are right alone and too much together.
  refusedBody(
    "/orders",
    ofUser({ items: items({ ...line, price: "99999999.99" }, { ...line, price: "0.01" }) }),
    "/items",
  ),
  refusedBody("/orders", ofUser({ items: items({ ...line, quantity: "1000000", price: "100" }) }), "/items"),
  refusedBody(
    "/orders",
    ofUser({
      items: items({ ...line, quantity: "1000000", price: "99999999.99" }, ...Array.from({ length: 99 }, () => line)),
    }),
    "/items",
  ),
  refusedBody("/orders", ofUser({ items: items({ ...line, quantity: "1000000" }, line) }), "/items"),
  refusedBody(
    "/orders",
    ofUser({
      items: items(
        { ...line, quantity: "500000", price: "0.01" },
        { ...line, product_id: '"B"', quantity: "1000000", price: "0.01" },
        { ...line, quantity: "500001", price: "0.01" },
      ),
    }),
    "/items",
  ),
  // So many that to name each of their faults would take seconds.
  refusedBody("/orders", ofUser({ items: `[{}${",{}".repeat(200_000)}]` }), "/items"),
  refusedBody("/orders", ofUser({ items: `[null${",null".repeat(200_000)}]` }), "/items"),
]

const cancellations: ReadonlyArray<Case> = [
  ...refusedField("/orders/1/cancel", "/reason", bad.badText(500), (reason) => object({ reason })),
  ...notObjects.map((body) => refusedBody("/orders/1/cancel", body, "")),
]

const redriveAll = "/admin/dead-letters/redrive"
const names: ReadonlyArray<Json> = [
  "null",
  "1",
  "[]",
  "{}",
  '""',
  '"a\\u0000"',
  '"a\\n"',
  '"a\\u007f"',
  '"\\ud800"',
  `"${"a".repeat(201)}"`,
]
const administration: ReadonlyArray<Case> = [
  ...["module", "reaction", "type"].flatMap((field) =>
    refusedField(redriveAll, `/${field}`, names, (value) => object({ [field]: value })),
  ),
  ...notObjects.map((body) => refusedBody(redriveAll, body, "")),
  refusedBody(redriveAll, object({ module: "1", reaction: "null", type: '""' }), "/module", "/reaction", "/type"),
]

const queryCase = (path: string, query: string, ...parameters: ReadonlyArray<string>): Case => ({
  name: `GET ${path}?${short(query)}`,
  path: `${path}?${query}`,
  ...invalid,
  parameters,
})

const endpoints = [...Object.values<Module>(modules), { api: adminApi }].flatMap(({ api }) => endpointsOf(api))

/** Every list that there is, of the first thing where it is of one. */
const lists = endpoints.flatMap(({ path, query }) =>
  query !== undefined && JSON.stringify(Schema.toJsonSchemaDocument(query)).includes('"cursor"')
    ? [path.replaceAll(/:\w+/gu, "1")]
    : [],
)

const queries: ReadonlyArray<Case> = [
  ...bad.badLimits.map((limit) => queryCase("/users", `limit=${limit}`, "limit")),
  ...lists.flatMap((list) => [
    queryCase(list, "limit=0", "limit"),
    queryCase(list, "limit=201", "limit"),
    queryCase(list, "limit=1&limit=1", "limit"),
    queryCase(list, "cursor=a&cursor=b", "cursor"),
  ]),
  ...["", "Created", "done", "created,paid", "created%00", "%20created", "1", "%ff"].map((status) =>
    queryCase("/orders", `status=${status}`, "status"),
  ),
  queryCase("/orders", "status=created&status=paid", "status"),
  ...["", "0", "-1", "01", "1.0", "1e3", "abc", "9007199254740992", "%00", "1%00", "%20", "%ff", "1".repeat(1_000)].map(
    (id) => queryCase("/orders", `user_id=${id}`, "user_id"),
  ),
  queryCase("/orders", "user_id=1&user_id=1", "user_id"),
  queryCase("/orders", "status=x&user_id=0&limit=a", "status", "user_id", "limit"),
  ...["", "open", "waiting", "parked%00"].map((status) =>
    queryCase("/admin/dead-letters", `status=${status}`, "status"),
  ),
  ...["module", "reaction"].flatMap((name) => [
    queryCase("/admin/dead-letters", `${name}=`, name),
    ...["a%00", "a%0Ab", "%7Fa", "a%C2%85"].map((text) => queryCase("/admin/dead-letters", `${name}=${text}`, name)),
    queryCase("/admin/dead-letters", `${name}=${"a".repeat(201)}`, name),
    queryCase("/admin/dead-letters", `${name}=a&${name}=b`, name),
  ]),
]

const nowhere = { status: 404, slug: "not-found" } as const

const ids: ReadonlyArray<Case> = endpoints
  .filter(({ path }) => path.includes("/:id"))
  .flatMap(({ method, path }) =>
    (path.startsWith("/admin/") ? bad.badUuids : bad.badIds).map((id) => ({
      method,
      path: path.replace(":id", () => id),
      name: `${method} ${path} of ${short(id)}`,
    })),
  )
  .map((asked) => ({ ...asked, ...nowhere }))

const addresses: ReadonlyArray<Case> = [
  ...words(`/ /user /userss /Users /USERS/1 //users /users//1 /users/1/order /users/1/orders/1 /users/1/orders%00`),
  ...words(
    `/orders/1/history/1 /openapi /problems/nothing /problems/internal/1 /favicon.ico /.env /metrics/1 /livez/x`,
  ),
  ...words(`/admin /admin/ /admin/dead-letter /.. /../users /users/../users /users/1/..%2f..%2fetc%2fpasswd`),
  ...words(`/%75sers% /users%2F1 /users;a=1`),
].map((path) => ({ name: `GET ${path}`, path, ...nowhere }))

const user1 = object({ email, name })
const malformed = { method: "POST", headers: json, status: 400, slug: "malformed-json" } as const
const unknownType = { method: "POST", status: 415, slug: "unsupported-media-type" } as const
const tooLarge = { method: "POST", status: 413, slug: "content-too-large" } as const
const mebibyte = 1024 * 1024

const bodies: ReadonlyArray<Case> = [
  ...[
    "",
    " ",
    "{",
    '{"email":',
    user1.slice(0, -1),
    `${user1},`,
    `${user1}${user1}`,
    `${user1}x`,
    "email=a&name=b",
  ].map((body) => ({ name: `${short(body)} as JSON`, path: "/users", body, ...malformed })),
  ...["{'email':1}", "{email:1}", '{"email":1,}', "[1,]", "NaN", "undefined", "01", "+1", ".5", "1.", "0x1", "--1"].map(
    (body) => ({ name: `${short(body)} as JSON`, path: "/orders", body, ...malformed }),
  ),
  ...['{"user_id":1,"amount":01}', '{"user_id":1,"amount":1e}', "{1e2:1}", '{"a":"\t"}', '{"a":"\\x"}', "// a\n{}"].map(
    (body) => ({ name: `${short(body)} as JSON`, path: "/orders", body, ...malformed }),
  ),
  { name: "an unfinished body to cancel with", path: "/orders/1/cancel", body: '{"reason":', ...malformed },
  ...Object.entries({
    "an overlong coding": "c0af",
    "a surrogate": "eda080",
    "half a character": "f09f98",
    "Latin-1": "e9",
    "beyond Unicode": "f4908080",
  }).map(([what, hex]) => ({
    name: `${what}, which is no UTF-8`,
    path: "/users",
    body: Buffer.concat([Buffer.from(`{"email":${email},"name":"a`), Buffer.from(hex, "hex"), Buffer.from('"}')]),
    ...malformed,
  })),
  { name: "UTF-16", path: "/users", body: Buffer.from(`\ufeff${user1}`, "utf16le"), ...malformed },
  {
    name: "gzip",
    path: "/users",
    body: Buffer.from("1f8b0800000000000003abae050043bfa6a302000000", "hex"),
    ...malformed,
  },
  ...[
    ...words(
      `text/plain text/json application/x-www-form-urlencoded application application/xml application/jsonp */* json`,
    ),
    ...words(
      `application/vnd.galleria+json application/problem+json application/json5 application/x-json application/json/1`,
    ),
    ...words(
      `application/octet-stream multipart/form-data;boundary=x text/plain;application/json application/json,text/plain`,
    ),
    "application /json",
  ].flatMap((type) =>
    ["/users", "/orders"].map((path) => ({
      name: `POST ${path} as ${type}`,
      path,
      headers: { "content-type": type },
      body: user1,
      ...unknownType,
    })),
  ),
  {
    name: "a reason as text",
    path: "/orders/1/cancel",
    headers: { "content-type": "text/plain" },
    body: "no",
    ...unknownType,
  },
  ...["/users", "/orders", "/orders/1/cancel", "/admin/dead-letters/redrive"].flatMap((path) => [
    { name: `POST ${path} without a media type`, path, headers: {}, body: user1, ...unknownType },
    { name: `POST ${path} without one, in chunks`, path, headers: {}, body: [user1], ...unknownType },
    ...words("gzip br identity unknown").map((encoding) => ({
      name: `POST ${path} with Content-Encoding ${encoding}`,
      path,
      headers: { ...json, "content-encoding": encoding },
      body: user1,
      ...unknownType,
    })),
  ]),
  {
    name: "a body of 1 GB of which only the length is sent",
    path: "/users",
    headers: { ...json, "content-length": "1000000000", connection: "close" },
    ...tooLarge,
  },
  {
    name: "a body of 1 MiB and a byte, with its length",
    path: "/users",
    headers: json,
    body: user1.padEnd(mebibyte + 1),
    ...tooLarge,
  },
  {
    name: "a body of 1 MiB and a byte in chunks",
    path: "/users",
    headers: json,
    body: [user1.padEnd(mebibyte), " "],
    ...tooLarge,
  },
  { name: "20 MiB", path: "/orders", headers: json, body: Buffer.alloc(20 * mebibyte, " "), ...tooLarge },
  {
    name: "20 MiB in chunks",
    path: "/orders/1/cancel",
    headers: json,
    body: Array.from({ length: 320 }, () => " ".repeat(65_536)),
    ...tooLarge,
  },
]

const keys: ReadonlyArray<Case> = ["", "a".repeat(256), "é", "a\tb", "\u00a0", "a\u0080", "\u00ff"].flatMap((key) =>
  ["/users", "/orders"].map((path) => ({
    name: `POST ${path} with the Idempotency-Key ${JSON.stringify(short(key))}`,
    method: "POST",
    path,
    headers: { ...json, "idempotency-key": key },
    body: path === "/users" ? user1 : ofUser({ amount: "1" }),
    status: 400,
    slug: "invalid-idempotency-key",
  })),
)

const cases = [
  ...users,
  ...orders,
  ...cancellations,
  ...administration,
  ...queries,
  ...ids,
  ...addresses,
  ...bodies,
  ...keys,
]

/** Everything that exists: the items of the lists, and the published events. */
const world = async () => {
  const { text } = await ask(url, { path: "/metrics" })
  return {
    users: (await ask(url, { path: "/users" })).body,
    orders: (await ask(url, { path: "/orders" })).body,
    published: text.split("\n").filter((line) => line.startsWith("galleria_outbox_published_total")),
  }
}

describe("Bad input", () => {
  let before: Awaited<ReturnType<typeof world>>
  beforeAll(async () => {
    await until("the order has taken all its effects", async () => {
      const [{ body: placed }, { body: summary }] = await Promise.all([
        ask(url, { path: `/orders/${order}` }),
        ask(url, { path: `/users/${user}/order-summary` }),
      ])
      const sent = await ask(url, { path: `/notifications?user_id=${user}` })
      const { text } = await ask(url, { path: "/metrics" })
      const unsent = text.split("\n").filter((line) => /^galleria_outbox_pending\{.*\} [1-9]/u.test(line))
      return (
        placed.processed &&
        summary.orders_count === 1 &&
        sent.body.items.filter(({ status }: { status: string }) => status === "sent").length === 4 &&
        unsent.length === 0
      )
    })
    before = await world()
  })

  it("has hundreds of forms, each of its own", () => {
    expect(cases.length).toBeGreaterThan(300)
  })

  it.for(cases)("is refused: $name", async (refused) => {
    expectProblem(await ask(url, refused), refused)
  })

  it("leaves nothing behind, and is not our fault", async () => {
    expect(await world()).toEqual(before)
    expect(galleria.records.filter(({ level }) => level === "error" || level === "fatal")).toEqual([])
  })
})

describe("An unknown user, order or dead letter", () => {
  const uuid = "0197b3c5-0000-7000-8000-000000000000"
  const none = String(Number.MAX_SAFE_INTEGER)
  it.for([
    [{ path: `/users/${none}` }, "user-not-found"],
    [{ path: `/users/${none}/orders` }, "user-not-found"],
    [{ path: `/users/${none}/order-summary` }, "user-not-found"],
    [{ method: "POST", path: "/orders", headers: json, body: `{"user_id":${none},"amount":1}` }, "user-not-found"],
    [{ path: `/orders/${none}` }, "order-not-found"],
    [{ path: `/orders/${none}/history` }, "order-not-found"],
    [{ method: "POST", path: `/orders/${none}/cancel` }, "order-not-found"],
    [{ path: `/admin/dead-letters/${uuid}` }, "dead-letter-not-found"],
    [{ method: "POST", path: `/admin/dead-letters/${uuid}/redrive` }, "dead-letter-not-found"],
    [{ method: "POST", path: `/admin/dead-letters/${uuid}/discard` }, "dead-letter-not-found"],
  ] as const)("is distinguished from an unknown address: %j", async ([asked, slug]) => {
    expectProblem(await ask(url, asked), { status: 404, slug })
  })
})
