/**
 * `npm run smoke [-- URL…]`: walks every ending of an order over HTTP against whatever runs, and prints what it expected
 * and saw. An address is `URL` or `module=URL`; none given: those of `MODULE_URLS`, else http://localhost:8000.
 *
 * Exits with 1 when a step was wrong. It makes users, orders and products of its own, so that it can run beside other
 * traffic and again and again; what the addresses do not serve is named and not walked.
 */
import { randomBytes } from "node:crypto"
import { addressesOf, type ModuleName, moduleNames } from "./smoke/addresses.ts"
import { endings, laptop, obstacleTo, sum } from "./smoke/endings.ts"
import { heading, linesOf, type Row, verdictOf } from "./smoke/table.ts"
import { checksOf, itemsOf, type Site, siteOf } from "./smoke/Walk.ts"
import { firstAmount, problemIn, walkAddress, walkKey, walkProduct, walkRefused, walkUser } from "./smoke/walkEdges.ts"
import { type Shop, type Walked, walkEnding } from "./smoke/walkEnding.ts"

const rows: Array<Row> = []
const say = (line: string) => process.stdout.write(`${line.trimEnd()}\n`)
const show = (more: ReadonlyArray<Row>) => {
  rows.push(...more)
  for (const line of linesOf(more)) say(line)
}
const notWalked = (what: string, why: string) => say(`- ${what}: not walked, ${why}`)

/** Endings that can be walked here; the others are named. */
const walkable = async (shop: Shop) => {
  const here = endings.filter((ending) => {
    const obstacle = obstacleTo(ending, shop.steps, shop.site.modules)
    if (obstacle !== undefined) notWalked(ending.name, obstacle)
    return obstacle === undefined
  })
  if (!shop.site.modules.has("inventory")) return here
  const { body } = await shop.site.call("GET", "/inventory/LAPTOP001")
  if (body.available > 0) return [...here, laptop]
  notWalked(laptop.name, "none is left")
  return here
}

/** All at once, as customers come; shown in the order of the list. */
const walkEndings = async (shop: Shop): Promise<ReadonlyArray<Walked>> => {
  const walking = (await walkable(shop)).map((ending) => walkEnding(shop, ending))
  const walked: Array<Walked> = []
  for (const one of walking) {
    walked.push(await one)
    show(walked.at(-1)!.rows)
  }
  return walked
}

/** The first order has no step to wait for, or all that it needs are served; else it can only be cancelled. */
const walkFirst = async ({ site, user, steps }: Shop, order: number) => {
  const rows: Array<Row> = []
  const { now, eventually } = checksOf(rows, "an order by its amount")
  const see = async () => (await site.call("GET", `/orders/${order}`)).body.status
  if (steps.every((step) => site.modules.has(step as ModuleName))) {
    await eventually("order", "processed", see)
    await now("cancel", "409 order-not-cancellable", async () =>
      problemIn(await site.call("POST", `/orders/${order}/cancel`)),
    )
    return { rows, paid: [firstAmount] }
  }
  await now("cancel", "200 cancelled", async () => {
    const { status, body } = await site.call("POST", `/orders/${order}/cancel`)
    return `${status} ${body.status}`
  })
  await eventually("user's list", "cancelled", async () => (await itemsOf(site, `/users/${user}/orders`))[0]?.status)
  return { rows, paid: [] }
}

/** What the user pays is what was charged and not given back, and what the summary says. */
const walkSums = async ({ site, user, steps }: Shop, paid: ReadonlyArray<string>) => {
  const rows: Array<Row> = []
  const { eventually } = checksOf(rows, "in all")
  const expected = `${sum(paid)} for ${paid.length} orders`
  if (steps.includes("payment") && site.modules.has("payment")) {
    await eventually("payments", expected, async () => {
      const payments = await itemsOf(site, `/payments?user_id=${user}&status=successful`)
      return `${sum(payments.map(({ amount }) => amount))} for ${payments.length} orders`
    })
  }
  await eventually("summary", expected, async () => {
    const { body } = await site.call("GET", `/users/${user}/order-summary`)
    return `${body.total_amount} for ${body.orders_count} orders`
  })
  return rows
}

/** Looks at every ending again: nothing was told, charged or taken twice in the meantime. */
const lookAgain = async (walked: ReadonlyArray<Walked>) => {
  const rows: Array<Row> = []
  const { now } = checksOf(rows, "a second look at every ending")
  await now("all", "unchanged", async () => {
    const changed = (await Promise.all(walked.map(({ again }) => again()))).flat().filter(({ isRight }) => !isRight)
    return changed.length === 0
      ? "unchanged"
      : changed.map(({ part, step, seen }) => `${part}, ${step}: ${seen}`).join("; ")
  })
  return rows
}

/** Everything that a user and orders can be walked through here. */
const walkOrders = async (site: Site, prefix: string) => {
  const { rows, user } = await walkUser(site)
  show(rows)
  if (user === undefined) return
  if (!site.modules.has("order")) return notWalked("orders", "no address serves order")
  const { rows: ofKey, order, steps } = await walkKey(site, user)
  show(ofKey)
  if (order === undefined) return
  const shop = { site, user, steps, prefix }
  const first = await walkFirst(shop, order)
  show(first.rows)
  const walked = await walkEndings(shop)
  show(await walkSums(shop, [...first.paid, ...walked.flatMap(({ paid }) => paid ?? [])]))
  if (walked.length > 0) show(await lookAgain(walked))
}

const main = async () => {
  const { addresses, faults } = addressesOf(process.argv.slice(2), process.env["MODULE_URLS"])
  if (faults.length > 0) {
    process.stderr.write(`${faults.join("\n")}\n`)
    process.exitCode = 1
    return
  }
  say(heading)
  const looked = await Promise.all(addresses.map(walkAddress))
  for (const rows of looked) show(rows)
  if (rows.every(({ isRight }) => isRight)) {
    const site = await siteOf(addresses)
    const prefix = `SMOKE-${randomBytes(4).toString("hex")}`
    for (const module of moduleNames) if (!site.modules.has(module)) notWalked(module, "no address serves it")
    if (site.modules.has("inventory")) show(await walkProduct(site, prefix))
    if (site.modules.has("user")) await walkOrders(site, prefix)
    show(await walkRefused(site))
  }
  say(verdictOf(rows))
  process.exitCode = rows.every(({ isRight }) => isRight) ? 0 : 1
}

await main()
