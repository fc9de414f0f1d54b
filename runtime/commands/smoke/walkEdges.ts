import { randomUUID } from "node:crypto"
import { type ModuleAddress, firstOf } from "../../http/addresses.ts"
import type { TableRow } from "./table.ts"
import { type WalkAnswer, ask, checksOf, itemsOf, type Site } from "./Walk.ts"

/** A status with the slug of its problem and the places of the faults. */
export const problemIn = ({ status, body }: WalkAnswer) => {
  const slug = String(body?.type ?? "").replace("/problems/", "")
  const faults = (body?.errors ?? []).map((fault: any) => fault.pointer ?? fault.parameter)
  return [status, slug, ...faults].filter((part) => part !== "").join(" ")
}

/** Tests one address: it is ready, has an OpenAPI document, serves its module, and has metrics. */
export const walkAddress = async ({ url, module }: ModuleAddress): Promise<ReadonlyArray<TableRow>> => {
  const rows: Array<TableRow> = []
  const { now, eventually } = checksOf(rows, module ?? url)
  const isReady = await eventually("ready", "ready", async () => {
    const { body } = await ask(url, "GET", "/readyz")
    return body.state === "ready" ? "ready" : JSON.stringify(body.checks ?? body)
  })
  if (!isReady) return rows
  await now("openapi", "3.1", async () => {
    const { body } = await ask(url, "GET", "/openapi.json")
    const serves =
      module === undefined || Object.keys(body.paths).some((path) => path.startsWith(`/${firstOf[module]}`))
    return serves ? body.openapi.slice(0, 3) : `no /${firstOf[module]} among its paths`
  })
  await now("metrics", "galleria_outbox_pending", async () => {
    const { body } = await ask(url, "GET", "/metrics")
    return /galleria_outbox_pending/u.exec(body)?.[0] ?? "no such metric"
  })
  return rows
}

/** Creates the user of the run; undefined when that fails. */
export const walkUser = async (site: Site): Promise<{ rows: ReadonlyArray<TableRow>; user: number | undefined }> => {
  const rows: Array<TableRow> = []
  const { now, eventually } = checksOf(rows, "a user", site.patienceMillis)
  const wanted = { email: `smoke-${randomUUID()}@example.org`, name: "Smoke" }
  let user: number | undefined
  await now(
    "create",
    "201",
    async () => {
      const { status, body } = await site.call("POST", "/users", wanted)
      user = body.id
      return `${status}, user ${user}`
    },
    (seen) => seen.startsWith("201, user "),
  )
  if (user === undefined) return { rows, user }
  await now("create again", "409 email-taken", async () => {
    const again = { ...wanted, email: wanted.email.toUpperCase() }
    return problemIn(await site.call("POST", "/users", again))
  })
  if (site.modules.has("notification")) {
    await eventually("notifications", "welcome", async () => {
      const notifications = await itemsOf(site, `/notifications?user_id=${user}`)
      return notifications.map(({ kind }) => kind).join(", ")
    })
  }
  return { rows, user }
}

/** Creates a product, sets its stock again, and reads it. */
export const walkProduct = async (site: Site, id: string): Promise<ReadonlyArray<TableRow>> => {
  const rows: Array<TableRow> = []
  const { now, eventually } = checksOf(rows, "a product", site.patienceMillis)
  const put = (stock: number) => async () => {
    const { status, body } = await site.call("PUT", `/inventory/${id}`, { product_name: "Smoke", stock })
    return `${status}, ${body.available} available`
  }
  await now("create", "201, 7 available", put(7))
  await now("set", "200, 9 available", put(9))
  // A read may be up to a second old.
  await eventually("read", "9 on hand, 0 held", async () => {
    const { body } = await site.call("GET", `/inventory/${id}`)
    return `${body.stock} on hand, ${body.reserved} held`
  })
  return rows
}

export const firstAmount = "5.10"

/** Places an order twice with the same key; it must be created once. Returns the steps that orders need here. */
export const walkKey = async (site: Site, user: number) => {
  const rows: Array<TableRow> = []
  const { now } = checksOf(rows, "an order sent twice")
  const key = { "idempotency-key": randomUUID() }
  let order: number | undefined
  await now("place", "201", async () => {
    const { status, body } = await site.call("POST", "/orders", { user_id: user, amount: firstAmount }, key)
    order = body.id
    return String(status)
  })
  await now("replay", `201 order ${order}, replayed: true`, async () => {
    const { status, headers, body } = await site.call(
      "POST",
      "/orders",
      `{"amount":"${firstAmount}","user_id":${user}}`,
      key,
    )
    return `${status} order ${body.id}, replayed: ${headers.get("idempotency-replayed")}`
  })
  await now("another body", "422 idempotency-key-reused", async () =>
    problemIn(await site.call("POST", "/orders", { user_id: user, amount: "5.11" }, key)),
  )
  const history = order === undefined ? [] : await itemsOf(site, `/orders/${order}/history`)
  const steps: ReadonlyArray<string> = history[0]?.data?.steps ?? []
  return { rows, order, steps }
}

const item = { product_id: "LAPTOP001", quantity: 1, price: "1" }

/** Requests that must be rejected, with the expected answer. */
const refused: ReadonlyArray<
  readonly [
    step: string,
    method: string,
    path: string,
    body: unknown,
    expected: string,
    headers?: Record<string, string>,
  ]
> = [
  ["user", "POST", "/users", { email: "no-at-sign", name: " " }, "422 validation-failed /email /name"],
  ["not JSON", "POST", "/users", "{", "400 malformed-json"],
  ["not as JSON", "POST", "/users", "a=1", "415 unsupported-media-type", { "content-type": "text/plain" }],
  ["no user", "POST", "/orders", { user_id: Number.MAX_SAFE_INTEGER, amount: "1" }, "404 user-not-found"],
  ["no amount", "POST", "/orders", { user_id: 1 }, "422 validation-failed "],
  [
    "price",
    "POST",
    "/orders",
    { user_id: 1, items: [{ ...item, price: "1.005" }] },
    "422 validation-failed /items/0/price",
  ],
  [
    "quantity",
    "POST",
    "/orders",
    { user_id: 1, items: [{ ...item, quantity: 0 }] },
    "422 validation-failed /items/0/quantity",
  ],
  [
    "101 lines",
    "POST",
    "/orders",
    { user_id: 1, items: Array.from({ length: 101 }, () => item) },
    "422 validation-failed /items",
  ],
  ["cursor", "GET", "/orders?cursor=forged", undefined, "400 invalid-cursor"],
  ["status", "GET", "/orders?status=lost", undefined, "422 validation-failed status"],
  ["no order", "GET", "/orders/0", undefined, "404 not-found"],
  ["no payment", "GET", `/payments/${Number.MAX_SAFE_INTEGER}`, undefined, "404 payment-not-found"],
  ["stock", "PUT", "/inventory/SMOKE", { product_name: "Smoke", stock: -1 }, "422 validation-failed /stock"],
  ["no product", "GET", "/inventory/SMOKE-none", undefined, "404 product-not-found"],
]

/** Tests the answers to bad input. */
export const walkRefused = async (site: Site): Promise<ReadonlyArray<TableRow>> => {
  const rows: Array<TableRow> = []
  const { now } = checksOf(rows, "bad input")
  const served = [...site.modules].map((module) => firstOf[module] as string)
  for (const [step, method, path, body, expected, headers] of refused) {
    if (!served.includes(path.split(/[/?]/u)[1]!)) continue
    await now(step, expected.trim(), async () => problemIn(await site.call(method, path, body, headers)))
  }
  return rows
}
