import { setTimeout as sleep } from "node:timers/promises"
import { type Ending, expectedOf, listOf, storyOf, times } from "./endings.ts"
import type { TableRow } from "./table.ts"
import { type WalkCheck, checksOf, itemsOf, type Site } from "./Walk.ts"

/** The user and the product prefix of this run. */
export interface Shop {
  readonly site: Site
  readonly user: number
  /** The steps that orders need here. */
  readonly steps: ReadonlyArray<string>
  /** The prefix of the products' ids. */
  readonly prefix: string
}

/** An order whose ending is being tested. */
interface Placed {
  readonly shop: Shop
  readonly ending: Ending
  readonly id: number
  readonly amount: string
  /** The product with enough stock; undefined for an order by its amount. */
  readonly product: string | undefined
}

const price = "19.99"
const quantity = 3
const stock = 10
/** When a slow card is being charged: half way between the hold and the provider's answer. */
const chargingMillis = 1_500

const product = async ({ site, prefix }: Shop, name: string, stock: number) => {
  const id = `${prefix}-${name}`
  const answer = await site.call("PUT", `/inventory/${id}`, { product_name: `Smoke ${name}`, stock })
  if (answer.status !== 201) throw new Error(`PUT /inventory/${id} answers ${answer.status}`)
  return id
}

/** The lines of an order for products created for it; undefined when no inventory is served. */
const linesFor = async (shop: Shop, { name, lines }: Ending) => {
  if (!shop.site.modules.has("inventory")) return undefined
  if (lines === "laptop") return [{ product_id: "LAPTOP001", quantity: 1, price: "999.90" }]
  const slug = name.replaceAll(/\W+/gu, "-")
  const enough = { product_id: await product(shop, slug, stock), quantity, price }
  if (lines === "enough") return [enough]
  const short = lines === "short" ? await product(shop, `${slug}-1`, 1) : `${shop.prefix}-none`
  return [enough, { product_id: short, quantity: 2, price: "0.01" }]
}

const place = async (shop: Shop, ending: Ending, check: WalkCheck): Promise<Placed | undefined> => {
  let placed: Placed | undefined
  await check(
    "place",
    "201 created",
    async () => {
      const items = await linesFor(shop, ending)
      const amount = times(price, quantity)
      const what = items === undefined ? { amount } : { items }
      const order = { user_id: shop.user, payment_method: ending.card, ...what }
      const { status, body } = await shop.site.call("POST", "/orders", order)
      if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
      placed = { shop, ending, id: body.id, amount: body.amount, product: items?.[0]?.product_id }
      return `${status} created, order ${body.id}`
    },
    (seen) => seen.startsWith("201 "),
  )
  return placed
}

const historyOf = ({ shop, id }: Placed) => itemsOf(shop.site, `/orders/${id}/history`)

/** Cancels the order at the moment that its ending requires. */
const cancel = async (placed: Placed, { now, eventually }: ReturnType<typeof checksOf>) => {
  const { shop, id, ending } = placed
  if (ending.cancelled === "during the charge") {
    await eventually("hold", "held", async () => {
      const history = await historyOf(placed)
      return history.some(({ data }) => data?.change === "held") ? "held" : "not held"
    })
    await sleep(chargingMillis)
  }
  for (const step of ["cancel", "cancel again"]) {
    await now(step, "200 cancelled", async () => {
      const { status, body } = await shop.site.call("POST", `/orders/${id}/cancel`, { reason: "smoke" })
      return `${status} ${body.status}`
    })
  }
}

const orderStep = async ({ shop, id }: Placed) => {
  const { body } = await shop.site.call("GET", `/orders/${id}`)
  return body.reason === undefined ? body.status : `${body.status}: ${body.reason}`
}

const paymentStep = async ({ shop, id }: Placed) => {
  const payments = await itemsOf(shop.site, `/payments?order_id=${id}`)
  return payments.map(({ status, amount }) => `${status} ${amount}`).join(", ")
}

const stockStep = async ({ shop, product }: Placed) => {
  const { body } = await shop.site.call("GET", `/inventory/${product}`)
  return `${body.stock} on hand, ${body.reserved} held, ${body.available} available`
}

const notificationStep = async ({ shop, id }: Placed) => {
  const notifications = await itemsOf(shop.site, `/notifications?order_id=${id}`)
  return listOf(notifications.map(({ kind }) => kind))
}

const listedStep = async ({ shop, id }: Placed) => {
  const listed = await itemsOf(shop.site, `/users/${shop.user}/orders`)
  return listed.flatMap((order) => (order.order_id === id ? [`${order.status} ${order.amount}`] : [])).join(", ")
}

const stockLeft = ({ shop, ending }: Placed) => {
  const left = ending.order === "processed" && shop.steps.includes("inventory") ? stock - quantity : stock
  return `${left} on hand, 0 held, ${left} available`
}

/** The expected state of every module after the order has ended, as rows of the table. */
const checkEnded = async (placed: Placed, check: WalkCheck) => {
  const { shop, ending, amount } = placed
  const { modules } = shop.site
  const expected = expectedOf(ending, shop.steps)
  await check("order", expected.order, () => orderStep(placed))
  if (modules.has("payment") && shop.steps.includes("payment")) {
    await check("payment", `${ending.payment} ${amount}`, () => paymentStep(placed))
  }
  if (modules.has("inventory") && placed.product?.startsWith(shop.prefix) === true) {
    await check("stock", stockLeft(placed), () => stockStep(placed))
  }
  if (modules.has("notification")) await check("notifications", expected.notifications, () => notificationStep(placed))
  if (modules.has("user")) await check("user's list", `${ending.order} ${amount}`, () => listedStep(placed))
}

/** The history begins with the order, ends with its ending, and has at most one taking of stock and one payment. */
const checkStory = async (placed: Placed, check: WalkCheck) => {
  const { order } = placed.ending
  await check(
    "history",
    `order_created (created) → … (${order})`,
    async () => storyOf(await historyOf(placed)),
    (seen) =>
      seen.startsWith("order_created (created)") &&
      /.*\((\w+)\)/u.exec(seen)?.[1] === order &&
      seen.split("inventory_updated taken").length <= 2 &&
      seen.split("payment_successful").length <= 2,
  )
}

/** After a wrong result: where the order stands. */
const checkJourney = ({ shop, id }: Placed, check: WalkCheck) =>
  check(
    "journey",
    "where the order stands",
    async () => `order ${id}: ${await shop.site.whereIs(id)}`,
    () => false,
  )

/** A tested ending: its rows, and a second check after everything else has happened. */
export interface EndingWalk {
  readonly rows: ReadonlyArray<TableRow>
  readonly again: () => Promise<ReadonlyArray<TableRow>>
  /** What the user pays in the end; undefined when the order was not placed. */
  readonly paid: string | undefined
}

/** Places an order, and checks it in every module until it has ended as expected. */
export const walkEnding = async (shop: Shop, ending: Ending): Promise<EndingWalk> => {
  const rows: Array<TableRow> = []
  const checks = checksOf(rows, ending.name, shop.site.patienceMillis)
  const placed = await place(shop, ending, checks.now)
  if (placed === undefined) return { rows, again: async () => [], paid: undefined }
  if (ending.cancelled !== undefined) await cancel(placed, checks)
  await checkEnded(placed, checks.eventually)
  await checkStory(placed, checks.eventually)
  if (rows.some(({ isRight }) => !isRight)) await checkJourney(placed, checks.now)
  return {
    rows,
    again: async () => {
      const rows: Array<TableRow> = []
      await checkEnded(placed, checksOf(rows, ending.name).now)
      return rows
    },
    paid: ending.order === "processed" ? placed.amount : undefined,
  }
}
