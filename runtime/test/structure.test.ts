import { describe, expect, it } from "vitest"
import { modules } from "../modules.ts"
import { importsOf, modulesIn, sourcesIn, violations } from "./imports.ts"

const root = new URL("../..", import.meta.url).pathname
const sources = sourcesIn(root, "modules", "runtime")

describe("the structure", () => {
  it("lets nobody import what is not theirs", () => {
    expect(violations(sources)).toEqual([])
  })

  it("was looked at: there are files and imports to judge", () => {
    expect(sources.length).toBeGreaterThan(50)
    expect(sources.flatMap(importsOf).length).toBeGreaterThan(250)
  })

  it("runs every module that there is, under its own name", () => {
    expect(Object.keys(modules).sort()).toEqual(modulesIn(sources))
    expect(Object.entries(modules).every(([name, module]) => module.name === name)).toBe(true)
  })

  it("gives every reaction a name of its own, of its module", () => {
    const names = Object.values(modules).flatMap((module) =>
      module.reactions.map((reaction) => [module.name, reaction.name]),
    )
    expect(new Set(names.map(([, name]) => name)).size).toBe(names.length)
    expect(names.filter(([module, name]) => !name!.startsWith(`${module}.`))).toEqual([])
  })

  it("lets each event be published by one module", () => {
    const published = Object.values(modules).flatMap((module) => module.publishes.map((event) => event.type))
    expect(new Set(published).size).toBe(published.length)
  })

  const red: ReadonlyArray<readonly [what: string, path: string, text: string]> = [
    ["a contract with a service", "modules/user/contract/api.ts", `import { Users } from "../Users.ts"`],
    [
      "a contract with SQL",
      "modules/user/contract/api.ts",
      `import { Database } from "../../../runtime/sql/Database.ts"`,
    ],
    [
      "a contract with another's API",
      "modules/user/contract/api.ts",
      `import { api } from "../../order/contract/api.ts"`,
    ],
    ["a module with another's service", "modules/order/Orders.ts", `import { Users } from "../user/Users.ts"`],
    ["a module with the bus", "modules/order/Orders.ts", `import { EventBus } from "../../runtime/events/EventBus.ts"`],
    ["a module with the relay", "modules/order/Orders.ts", `import { relay } from "../../runtime/outbox/relay.ts"`],
    ["a module with a driver's package", "modules/order/Orders.ts", `import { PGlite } from "@electric-sql/pglite"`],
    ["a module with node", "modules/order/Orders.ts", `import { readFileSync } from "node:fs"`],
    ["a module with the environment", "modules/order/Orders.ts", `const port = process.env.PORT`],
    ["a module that exports another's", "modules/order/Orders.ts", `export { Users } from "../user/Users.ts"`],
    ["a module with a dynamic import", "modules/order/Orders.ts", `const it = await import("../user/Users.ts")`],
    ["a shared value with a module", "modules/Money.ts", `import { UserId } from "./user/contract/ids.ts"`],
    [
      "a driver with a module",
      "runtime/sql/embedded/duplex.ts",
      `import { order } from "../../../modules/order/module.ts"`,
    ],
    ["a driver with the composition", "runtime/events/embedded/EmbeddedEventBus.ts", `import "../../compose.ts"`],
    ["the runtime with a module's insides", "runtime/compose.ts", `import { Users } from "../modules/user/Users.ts"`],
    [
      "the runtime with a driver",
      "runtime/delivery/consumer.ts",
      `import * as It from "../events/embedded/EmbeddedEventBus.ts"`,
    ],
    [
      "the runtime with a driver's package",
      "runtime/delivery/consumer.ts",
      `import { PGlite } from "@electric-sql/pglite"`,
    ],
  ]
  it.each(red)("is red for %s", (_what, path, text) => {
    expect(violations([{ path, text }])).toHaveLength(1)
  })
})
