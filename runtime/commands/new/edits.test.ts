import { describe, expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { projectFolder } from "../sources.ts"
import {
  composed,
  configured,
  declaring,
  documented,
  listed,
  named,
  publishing,
  withEntry,
  withModule,
  withStore,
} from "./edits.ts"
import { withEvent } from "./eventFiles.ts"
import { placed } from "./files.ts"
import { namesOf, pluralOf } from "./names.ts"

const read = (path: string) => readFileSync(join(projectFolder, path), "utf8")

describe("the names of a new module", () => {
  it.each([
    ["parcel", "parcels"],
    ["box", "boxes"],
    ["delivery", "deliveries"],
    ["day", "days"],
    ["batch", "batches"],
  ])("have the plural of %s", (noun, plural) => expect(pluralOf(noun)).toBe(plural))

  it.each([
    ["Shipping", "parcel", "Shipping is not 1 to 20 lower-case letters and digits, beginning with a letter"],
    ["shipping", "big_parcel", "big_parcel is not 1 to 20 lower-case letters and digits, beginning with a letter"],
    ["order", "order", "there is a module order"],
    ["shipping", "group", "group is reserved"],
    ["admin", "parcel", "admin is reserved"],
    ["shop", "order", "order already publishes order_created"],
    ["shop", "payment", "payment already serves /payments"],
  ])("are refused: %s %s", (module, noun, words) => {
    const taken = [
      { name: "order", types: ["order_created"], paths: ["/orders"] },
      { name: "payment", types: [], paths: ["/payments/{id}"] },
    ]
    expect(namesOf(module, noun, taken)).toBe(words)
  })

  it("are made of both words", () => {
    expect(namesOf("shipping", "parcel", [])).toEqual({
      module: "shipping",
      noun: "parcel",
      plural: "parcels",
      Noun: "Parcel",
      Plural: "Parcels",
    })
  })
})

describe("the edits for something new", () => {
  it("place imports from the project's folder", () => {
    const files = { "modules/a/contract/api.ts": `import "~/modules/Id.ts"\nimport "~/modules/a/contract/ids.ts"` }
    expect(Object.values(placed(files))).toEqual([`import "../../Id.ts"\nimport "./ids.ts"`])
  })

  it("add a module to the program", () => {
    const source = `import { a } from "../modules/a/module.ts"
import type { Module } from "./module/Module.ts"

export const modules = { a } satisfies Record<string, Module>
`
    expect(withModule(source, "b")).toBe(`import { a } from "../modules/a/module.ts"
import { b } from "../modules/b/module.ts"
import type { Module } from "./module/Module.ts"

export const modules = { a, b } satisfies Record<string, Module>
`)
    expect(withModule(source.replace("{ a } s", "{} s"), "b")).toContain("modules = { b } satisfies")
  })

  it("add a name to an import, or an import", () => {
    expect(named(`import { A } from "./x.ts"`, "./x.ts", "B")).toBe(`import { A, B } from "./x.ts"`)
    expect(named(`import {\n  A,\n  B,\n} from "./x.ts"`, "./x.ts", "B")).toBe(`import { A, B } from "./x.ts"`)
    expect(named(`import { A } from "./x.ts"\n\nA`, "./y.ts", "B")).toBe(
      `import { A } from "./x.ts"\nimport { B } from "./y.ts"\n\nA`,
    )
  })

  it("publish an event", () => {
    const source = `import { A } from "./contract/events.ts"\nmake({\n  publishes: [A],\n})`
    expect(publishing(source, "B")).toBe(
      `import { A, B } from "./contract/events.ts"\nmake({\n  publishes: [A, B],\n})`,
    )
  })

  it("define an event of the user's key where the module has one", () => {
    const ofOrder = withEvent(
      read("modules/order/contract/events.ts"),
      read("modules/order/contract/ids.ts"),
      "order_x",
    )
    expect(ofOrder).toMatch(
      /OrderX = define\("order_x", \{\n {2}data: Schema.Struct\(\{ order_id: OrderId, user_id: UserId \}\)/u,
    )
    expect(ofOrder.slice(ofOrder.indexOf("OrderX"))).toContain(`key: "user_id",\n  subject: "order_id"`)
    const ofUser = withEvent(read("modules/user/contract/events.ts"), read("modules/user/contract/ids.ts"), "user_x")
    expect(ofUser.slice(ofUser.indexOf("UserX"))).toContain(`key: "user_id",\n  subject: "user_id"`)
  })

  it("connect a reaction's store", () => {
    const source = `import { make } from "x"

export const a = make({
  name: "a",
  migrations: { "0001_x": createX },
  layer: http.pipe(Layer.provideMerge(As.layer)),
})
`
    expect(declaring(withStore(source, { store: "BStore", migration: "0002_y" }), "reactions"))
      .toBe(`import { make } from "x"
import { createBStore } from "./migrations/0002_y.ts"
import { BStore } from "./BStore.ts"
import { reactions } from "./reactions.ts"

export const a = make({
  name: "a",
  reactions,
  migrations: { "0001_x": createX, "0002_y": createBStore },
  layer: Layer.mergeAll(http.pipe(Layer.provideMerge(As.layer)), BStore.layer),
})
`)
  })

  it("connect further stores beside the first", () => {
    const layers = (layer: string) =>
      withStore(`import { A } from "x"\n\nmake({\n  migrations: {},\n  layer: ${layer},\n})\n`, {
        store: "CStore",
        migration: "0003_z",
      })
    expect(layers("Layer.mergeAll(http, BStore.layer)")).toContain(
      "  layer: Layer.mergeAll(http, BStore.layer, CStore.layer),\n",
    )
    expect(layers("Layer.mergeAll(\n    http,\n    BStore.layer,\n  )")).toMatch(
      /layer: Layer\.mergeAll\(\s*http,\s*BStore\.layer, CStore\.layer\),\n/u,
    )
    expect(layers("Layer.mergeAll(http).pipe(Layer.provide(D.layer))")).toContain(
      "  layer: Layer.mergeAll(Layer.mergeAll(http).pipe(Layer.provide(D.layer)), CStore.layer),\n",
    )
  })

  it("add a reaction after the others", () => {
    expect(withEntry(undefined, "reactions", "  one,\n")).toBe("export const reactions = [\n  one,\n]\n")
    expect(withEntry("export const reactions = [\n  one,\n]\n", "reactions", "  two,\n")).toBe(
      "export const reactions = [\n  one,\n  two,\n]\n",
    )
  })

  it("add a setting, to its file, its container and the table", () => {
    expect(withEntry("export const settings = {\n  A: 1,\n}\n\nconst x = {\n}\n", "settings", "  B: 2,\n", "{}")).toBe(
      "export const settings = {\n  A: 1,\n  B: 2,\n}\n\nconst x = {\n}\n",
    )
    expect(configured(read("docker/compose.yaml"), "order", "ORDER_X_URL")).toContain(
      "      MODULES: order\n      ORDER_X_URL: ${ORDER_X_URL:-}\n",
    )
    expect(documented(read("runtime/SETTINGS.md"), "ORDER_X_URL", "an address")).toContain(
      "\n| `ORDER_X_URL` | an address | |\n| `LOG_LEVEL`",
    )
  })

  it("list it in the README of the module", () => {
    expect(listed("| reacts to | nothing |", "reacts to", "`a_b`")).toBe("| reacts to | `a_b` |")
    expect(listed("| reacts to | `a` |", "reacts to", "`b`")).toBe("| reacts to | `a`, `b` |")
    expect(listed("| tables | `a` |", "tasks", "`b`")).toBe("| tables | `a` |\n| tasks | `b` |")
  })

  it("give a module its container, database, volume and address", () => {
    const compose = composed(read("docker/compose.yaml"), "shipping")
    expect(compose).toMatch(/^ {2}shipping:\n {4}<<: \*module\n/mu)
    expect(compose).toMatch(/^ {2}shipping-db:\n/mu)
    expect(compose).toMatch(/^volumes:\n {2}shipping-data:\n/mu)
    expect(compose).toMatch(/MODULE_URLS: user=\S+,shipping=http:\/\/shipping:8000$/mu)
    const ports = [...compose.matchAll(/"127\.0\.0\.1:(\d+):/gu)].map(([, port]) => port)
    expect(new Set(ports).size).toBe(ports.length)
  })
})
