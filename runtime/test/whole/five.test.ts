import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { modules } from "../../modules.ts"
import { endings } from "../../commands/smoke/endings.ts"
import { type Deployment, overKafkaAndPostgres, type ProductionSite } from "../harness/deployment.ts"
import { canStartKafka } from "../harness/kafka.ts"
import { canStartPostgres, connectTo } from "../harness/postgresServer.ts"
import { until } from "../harness/process.ts"
import { runProgram } from "../harness/program.ts"

const all = Object.keys(modules)
const possible = (await canStartKafka()) && (await canStartPostgres())

describe.runIf(possible)("Five processes over Kafka and PostgreSQL", { timeout: 300_000 }, () => {
  let site: ProductionSite
  let galleria: Deployment
  beforeAll(async () => {
    site = await overKafkaAndPostgres.settle({ modules: all, instances: 1, env: { ORDER_STEPS: "payment,inventory" } })
    galleria = await site.start()
  })
  afterAll(() => site[Symbol.asyncDispose]())

  const addresses = () =>
    Promise.all(galleria.parts.map(async ({ modules, galleria: { url } }) => `${modules.join()}=${await url}`))

  const expectAudited = async () => {
    // The last facts of an order may be on their way.
    const given = await addresses()
    await until("every invariant holds", async () => (await runProgram("audit.ts", given)).code === 0)
    expect(await runProgram("audit.ts", given)).toEqual({ code: 0, output: "every invariant holds\n" })
  }

  it("find rows by an index, though their plans were made while the tables were empty", async () => {
    const product_id = "MANY001"
    await galleria.call("PUT", `/inventory/${product_id}`, { product_name: "Many", stock: 100_000 })
    const buy = async (n: number) => {
      const user = await galleria.call<{ id: number }>("POST", "/users", { email: `${n}@example.org`, name: "Ada" })
      for (let placed = 0; placed < 40; placed++) {
        const items = [{ product_id, quantity: 1, price: "25.00" }]
        const { status } = await galleria.call("POST", "/orders", { user_id: user.body.id, items })
        expect(status).toBe(201)
      }
    }
    await Promise.all(Array.from({ length: 16 }, (_, n) => buy(n)))
    await expectAudited()
    // PostgreSQL counts a second later.
    await sleep(1_500)
    const wide: Array<unknown> = []
    for (const module of all) {
      await using client = await connectTo(site.urlOf(module))
      // The two are read from their first row on, many rows at once; the audit reads whole tables a few times.
      const rows = await client.run(`
        select relname, indexrelname, idx_scan, idx_tup_read from pg_stat_user_indexes
        where idx_scan > 50 and idx_tup_read > 20 * idx_scan and indexrelname not in ('outbox_pkey', 'task_due')`)
      wide.push(...rows)
    }
    expect(wide).toEqual([])
  })

  it("bring every order to the same ending as one process does", async () => {
    const { code, output } = await runProgram("smoke.ts", await addresses())
    expect(output).toMatch(/all \d+ steps are right\n$/u)
    expect(output).not.toMatch(/not walked/u)
    for (const { name } of endings) expect(output).toContain(`✓ ${name} `)
    expect(code).toBe(0)
    await expectAudited()
  })

  it.each(all.filter((module) => module !== "user" && module !== "order"))(
    "process every order once %s is back that was killed and away",
    async (module) => {
      const user = await galleria.call<{ id: number }>("POST", "/users", {
        email: `${module}@example.org`,
        name: "Ada",
      })
      const place = async () => {
        const items = [{ product_id: "MOUSE001", quantity: 1, price: "25.00" }]
        const { status, body } = await galleria.call<{ id: number }>("POST", "/orders", {
          user_id: user.body.id,
          items,
        })
        expect(status).toBe(201)
        return body.id
      }
      const orders = [await place(), await place()]
      await galleria.of(module).stop("SIGKILL")
      for (let n = 0; n < 5; n++) orders.push(await place())
      galleria = await site.start()
      for (const id of orders) {
        const notifications = () =>
          galleria.call<{ items: ReadonlyArray<{ kind: string }> }>("GET", `/notifications?order_id=${id}`)
        await until(`order ${id} is processed, and its user notified`, async () =>
          (await notifications()).body.items.some(({ kind }) => kind === "order_processed"),
        )
        const { body } = await galleria.call<{ status: string }>("GET", `/orders/${id}`)
        expect(body.status).toBe("processed")
      }
      await expectAudited()
    },
  )
})
