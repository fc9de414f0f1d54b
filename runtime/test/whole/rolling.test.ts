import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { withVersion } from "../../commands/contracts.ts"
import { auditOverHttp } from "../harness/audit.ts"
import { copyOfProject } from "../harness/copy.ts"
import { deploymentOf, overKafkaAndPostgres, type ProductionSite } from "../harness/deployment.ts"
import { canStartKafka } from "../harness/kafka.ts"
import { recordsOn } from "../harness/kafkaLog.ts"
import { canStartPostgres, connectTo } from "../harness/postgresServer.ts"
import { until } from "../harness/process.ts"
import { degraded, pace, populate, undelivered, type World } from "./outages.ts"
import { openGateway } from "./production.ts"

const isPossible = (await canStartKafka()) && (await canStartPostgres())

/** The next release: `order_created` has a further member, which its readers need, and so a higher version. */
const nextRelease = () => {
  const copy = copyOfProject()
  const events = "modules/order/contract/events.ts"
  copy.change(
    events,
    "    payment_method: ",
    `    channel: Schema.Literals(["web", "shop"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("web" as const))),
    payment_method: `,
  )
  copy.change(
    "modules/order/OrderStore.ts",
    "{ ...placement, created_at }",
    `{ ...placement, channel: "shop", created_at }`,
  )
  const file = join(copy.folder, events)
  writeFileSync(file, withVersion(readFileSync(file, "utf8"), "order_created", 2))
  return copy
}

interface DeadLetter {
  readonly status: string
  readonly reason: string | null
  readonly attempts: number
}

const deadLetters = async (site: ProductionSite, module: string) => {
  await using session = await connectTo(site.urlOf(module))
  return await session.run<DeadLetter>(
    `select status, reason, attempts from "${module}".held where status <> 'waiting'`,
  )
}

/** The versions of `order_created` on the log. */
const versionsOn = async ({ kafka }: ProductionSite) => {
  const { record } = await recordsOn(kafka.bootstrap)
  const created = record.filter(({ topic }) => topic === "order_created")
  return new Set(created.map(({ headers }) => Number(/\d+$/u.exec(headers["ce_dataschema"] ?? "")?.[0])))
}

/** A process of the next release joins the one of this release, which then leaves. `between`: while both run. */
const roll = async (world: World<ProductionSite>, module: string, root: string, between: () => Promise<void>) => {
  const { parts } = await world.site.start({ modules: [module], instances: 2, root })
  const leaving = parts.find(({ name }) => name === `${module} 1`)!
  const others = world.galleria.parts.filter((part) => part !== leaving)
  world.galleria = deploymentOf([...others, ...parts])
  await between()
  world.galleria = deploymentOf([...others, ...parts.filter((part) => part !== leaving)])
  expect(await leaving.galleria.stop()).toEqual({ code: 0, signal: null })
}

/** An event of a newer version is tried each minute; the minute is not waited for. */
const retryNow = async (site: ProductionSite, module: string) => {
  await using session = await connectTo(site.urlOf(module))
  await session.run(`update "${module}".held set due = now() where status = 'retrying' and reason = 'newer-version'`)
}

/** Removes the dead letters that an audit would report. */
const removeResolved = async (site: ProductionSite, module: string) => {
  await using session = await connectTo(site.urlOf(module))
  await session.run(`delete from "${module}".held where status = 'resolved'`)
}

describe.runIf(isPossible)("A rolling upgrade", { timeout: 300_000 }, () => {
  it("loses nothing, and holds back only events of the newer version until their readers are upgraded", async () => {
    using next = nextRelease()
    const site = await overKafkaAndPostgres.settle({ instances: 1 })
    await using world = await populate(site, Date.now() % 1_000_000)
    const { shoppers } = world
    const gateway = openGateway(() => world.galleria.parts)
    let isOver = false
    const shopping = shoppers.shop(gateway, () => isOver, { cutOff: true, forgiving: true, pace })
    try {
      await roll(world, "order", next.folder, () =>
        until("the old reader meets the newer version", async () => (await deadLetters(site, "user")).length > 0),
      )
      await roll(world, "user", next.folder, async () => {})
    } finally {
      isOver = true
      await shopping
      await gateway.close()
    }
    for (const module of ["user", "order"]) {
      await until(`${module} has read all that it held back`, async () => {
        await retryNow(site, module)
        return (await deadLetters(site, module)).every(({ status }) => status !== "retrying")
      })
      const wrong = (await deadLetters(site, module)).filter(
        ({ status, reason }) => status !== "resolved" || reason !== "newer-version",
      )
      expect([module, wrong]).toEqual([module, []])
    }
    await until("everything is delivered", async () => (await undelivered(world)) === undefined)
    await shoppers.askAgain(world.galleria)
    let faults: ReadonlyArray<string> = []
    await until("users see their orders as they are", async () => {
      faults = [...(await auditOverHttp(world.galleria, shoppers.ledger)), ...(await degraded(world.galleria))]
      return faults.length === 0 || shoppers.ledger.faults.length > 0
    }).catch(() => {})
    expect(faults).toEqual([])
    await until("everything is delivered again", async () => (await undelivered(world)) === undefined)
    expect(await versionsOn(site)).toEqual(new Set([1, 2]))
    for (const module of ["user", "order"]) await removeResolved(site, module)
    expect(await world.galleria.stop()).toEqual({ code: 0, signal: null })
    expect(await site.audit(shoppers.ledger)).toEqual([])
  })
})
