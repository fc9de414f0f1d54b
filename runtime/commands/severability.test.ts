import { describe, expect, it } from "@effect/vitest"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { severabilityOf, textOf } from "./severability.ts"
import { projectFolder, type SourceFile, sourcesIn } from "./sources.ts"

const all = Object.values<Module>(modules)
const sources = sourcesIn(projectFolder, "modules")

describe("the severability of a module", () => {
  it.each(all.map((module) => [module.name, module] as const))(
    "of %s: no table, no call, only contracts and values",
    (_name, module) => {
      const one = severabilityOf(module, all, sources)
      expect(one.foreignTables).toEqual([])
      expect(one.calls).toEqual([])
      expect(one.tables.length).toBeGreaterThan(0)
      for (const path of one.contracts) expect(path).toMatch(/^modules\/\w+\/contract\/(?:events|ids)\.ts$/u)
    },
  )

  it("of inventory is this", () => {
    const one = severabilityOf(modules.inventory, all, sources)
    expect(one).toMatchObject({
      eventsIn: [
        "order_created (order)",
        "payment_successful (payment)",
        "payment_failed (payment)",
        "payment_refunded (payment)",
        "order_cancelled (order)",
      ],
      eventsOut: [
        "inventory_updated → order.learn-stock, payment.go",
        "inventory_rejected → order.learn-rejected, payment.stop-rejected",
      ],
      contracts: [
        "modules/order/contract/events.ts",
        "modules/order/contract/ids.ts",
        "modules/payment/contract/events.ts",
        "modules/payment/contract/ids.ts",
        "modules/user/contract/ids.ts",
      ],
      tables: ["products", "holds", "hold_lines", "ledger"],
      settings: ["HOLD_MINUTES"],
      paths: ["/inventory"],
      silenced: ["order.learn-stock", "payment.go", "order.learn-rejected", "payment.stop-rejected"],
    })
    expect(textOf("inventory", one)).toContain("/inventory answered 404; without events: order.learn-stock")
  })

  const withFile = (text: string): ReadonlyArray<SourceFile> => [...sources, { path: "modules/payment/Other.ts", text }]

  it.each([
    ["a statement over another module's table", "sql`select 1 from orders`", ["orders"]],
    ["a join with one", "sql`select 1 from payments join order_history using (order_id)`", ["order_history"]],
    ["its own table", "sql`select 1 from payments`", []],
    ["a comment", "// from orders", []],
  ])("notices %s", (_what, text, tables) => {
    expect(severabilityOf(modules.payment, all, withFile(text)).foreignTables).toEqual(tables)
  })

  it("notices a call to another module, by the import of its API", () => {
    const calling = withFile(`import { api } from "../order/contract/api.ts"`)
    expect(severabilityOf(modules.payment, all, calling).calls).toEqual(["modules/payment/Other.ts"])
  })

  it("notices who is not there", () => {
    const alone = severabilityOf(modules.order, [modules.order], sources)
    expect(alone.eventsIn).toContain("user_created (no module here)")
    expect(alone.eventsOut).toContain("order_cancelled → other programs only")
  })
})
