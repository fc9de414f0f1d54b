import { endings, laptop, obstacleTo, sum } from "./endings.ts"
import type { ModuleName } from "../../http/addresses.ts"
import type { TableRow } from "./table.ts"
import { checksOf, itemsOf, type Site } from "./Walk.ts"
import { firstAmount, problemIn, walkKey, walkUser } from "./walkEdges.ts"
import { type Shop, type EndingWalk, walkEnding } from "./walkEnding.ts"

/** The output of a run. */
export interface Report {
  readonly show: (rows: ReadonlyArray<TableRow>) => void
  readonly notWalked: (what: string, why: string) => void
}

/** Endings that can be tested here; the others are reported. */
const walkable = async (shop: Shop, { notWalked }: Report) => {
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

/** Runs all endings at once, except the one that depends on timing: it runs alone, after the others. */
const walkEndings = async (shop: Shop, report: Report): Promise<ReadonlyArray<EndingWalk>> => {
  const here = await walkable(shop, report)
  const alone = here.filter(({ cancelled }) => cancelled === "during the charge")
  const walking = here.filter((ending) => !alone.includes(ending)).map((ending) => walkEnding(shop, ending))
  const walked: Array<EndingWalk> = []
  const keep = (one: EndingWalk) => {
    walked.push(one)
    report.show(one.rows)
  }
  for (const one of walking) keep(await one)
  for (const ending of alone) keep(await walkEnding(shop, ending))
  return walked
}

/** Tests the first order: it is processed if all its steps are served, else it can only be cancelled. */
const walkFirst = async ({ site, user, steps }: Shop, order: number) => {
  const rows: Array<TableRow> = []
  const { now, eventually } = checksOf(rows, "an order by its amount", site.patienceMillis)
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

/** Tests that the user pays what was charged and not refunded, and that the summary agrees. */
const walkSums = async ({ site, user, steps }: Shop, paid: ReadonlyArray<string>) => {
  const rows: Array<TableRow> = []
  const { eventually } = checksOf(rows, "in all", site.patienceMillis)
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

/** Checks every ending again: nothing was sent, charged or taken twice meanwhile. */
const lookAgain = async (walked: ReadonlyArray<EndingWalk>) => {
  const rows: Array<TableRow> = []
  const { now } = checksOf(rows, "a second look at every ending")
  await now("all", "unchanged", async () => {
    const changed = (await Promise.all(walked.map(({ again }) => again()))).flat().filter(({ isRight }) => !isRight)
    return changed.length === 0
      ? "unchanged"
      : changed.map(({ part, step, seen }) => `${part}, ${step}: ${seen}`).join("; ")
  })
  return rows
}

/** Tests everything about users and orders that is possible here. */
export const walkOrders = async (site: Site, prefix: string, report: Report) => {
  const { show, notWalked } = report
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
  const walked = await walkEndings(shop, report)
  show(await walkSums(shop, [...first.paid, ...walked.flatMap(({ paid }) => paid ?? [])]))
  if (walked.length > 0) show(await lookAgain(walked))
}
