/**
 * `npm run smoke [-- URL…]`: tests every way an order can end, over HTTP against a running system, and prints expected and
 * actual results. An address is `URL` or `module=URL`; the default is `MODULE_URLS`, or else http://localhost:8000.
 *
 * Exits with 1 when a step fails; the row *journey* then says where the order stands, which needs the token of `/admin` in
 * `ADMIN_TOKEN` or `ADMIN_TOKEN_FILE`. It creates its own users, orders and products, so it can run repeatedly and beside other
 * traffic. Steps that need modules which the addresses do not serve are listed and skipped.
 */
import { randomBytes } from "node:crypto"
import { addressesOf, moduleNames } from "../http/addresses.ts"
import { adminToken } from "./adminToken.ts"
import { heading, linesOf, type TableRow, verdictOf } from "./smoke/table.ts"
import { siteOf } from "./smoke/Walk.ts"
import { walkAddress, walkProduct, walkRefused } from "./smoke/walkEdges.ts"
import { walkOrders } from "./smoke/walkOrders.ts"

const rows: Array<TableRow> = []
const say = (line: string) => process.stdout.write(`${line.trimEnd()}\n`)
const show = (more: ReadonlyArray<TableRow>) => {
  rows.push(...more)
  for (const line of linesOf(more)) say(line)
}
const notWalked = (what: string, why: string) => say(`- ${what}: not walked, ${why}`)

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
    const site = await siteOf(addresses, adminToken(process.env))
    const prefix = `SMOKE-${randomBytes(4).toString("hex")}`
    for (const module of moduleNames) if (!site.modules.has(module)) notWalked(module, "no address serves it")
    if (site.modules.has("inventory")) show(await walkProduct(site, prefix))
    if (site.modules.has("user")) await walkOrders(site, prefix, { show, notWalked })
    show(await walkRefused(site))
  }
  say(verdictOf(rows))
  process.exitCode = rows.every(({ isRight }) => isRight) ? 0 : 1
}

await main()
