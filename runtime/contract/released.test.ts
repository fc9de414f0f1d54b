import { afterAll, describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { raised, readersIn, reviewOf, withVersion } from "../commands/contracts.ts"
import { eventsOf, type Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { contractOf, folderOf, readContract, releasedSchema, writeContract } from "./released.ts"

const every = Object.values<Module>(modules)

describe("the released contracts", () => {
  it.each(every.map((module) => [module.name, module] as const))("of %s are not broken today", (_name, module) => {
    const { breaks } = reviewOf(readContract(folderOf(module.name)), contractOf(module), readersIn(every))
    expect(breaks.map(({ words }) => words)).toEqual([])
  })

  const events = new Map(eventsOf(every).map((event) => [event.type, event]))
  const golden = every.flatMap(({ name }) =>
    readContract(folderOf(name)).events.flatMap(({ type, version, golden }) =>
      golden.map(({ variant, data }) => ({ name: `${type} ${version}, ${variant}`, type, data })),
    ),
  )

  it("have golden payloads of every event, and the endpoints", () => {
    for (const { name } of every) {
      const { events, openapi } = readContract(folderOf(name))
      // A new module has released nothing.
      if (openapi === undefined) continue
      expect(openapi["paths"]).not.toEqual({})
      for (const { type, golden } of events) expect([type, golden.length > 0]).toEqual([type, true])
    }
    expect(golden.length).toBeGreaterThan(40)
  })

  it.each(golden.map((one) => [one.name, one] as const))(
    "can be read by today's reactions: %s",
    (_name, { type, data }) => {
      const reactions = every.flatMap(({ reactions }) => reactions).filter(({ event }) => event.type === type)
      for (const { decode } of [{ decode: Schema.decodeUnknownEffect(events.get(type)!.data) }, ...reactions]) {
        expect(Effect.runSync(decode(data))).toBeTypeOf("object")
      }
    },
  )
})

describe("a record of a release", () => {
  const folder = mkdtempSync(join(tmpdir(), "contracts-"))
  afterAll(() => rmSync(folder, { recursive: true }))
  const contract = contractOf(modules.payment)
  const [first, ...rest] = contract.events

  it("is read as it was written", () => {
    expect(readContract(join(folder, "none"))).toEqual({ events: [], openapi: undefined })
    writeContract(folder, contract)
    const read = readContract(folder)
    expect(read.events.toSorted((a, b) => (a.type < b.type ? -1 : 1))).toEqual(
      contract.events.toSorted((a, b) => (a.type < b.type ? -1 : 1)),
    )
    expect(read.openapi).toEqual(JSON.parse(JSON.stringify(contract.openapi)))
  })

  it("keeps golden payloads of earlier releases, each once", () => {
    const more = { variant: "whole", data: { payment_id: 2 } }
    writeContract(folder, { ...contract, events: [{ ...first!, golden: [more, ...first!.golden] }, ...rest] })
    const { golden } = readContract(folder).events.find(({ type }) => type === first!.type)!
    expect(golden).toEqual([...first!.golden, more])
  })

  it("keeps earlier versions", () => {
    const later = raised(contract, [{ words: "", mendedByVersionOf: first!.type }])
    expect(later.events.map(({ version }) => version)).toEqual([2, ...rest.map(() => 1)])
    expect(later.events[0]!.schema["$id"]).toBe(`/schemas/${first!.type}/2`)
    writeContract(folder, later)
    expect(readdirSync(folder)).toEqual(
      expect.arrayContaining([`${first!.type}.1.json`, `${first!.type}.2.json`, `${first!.type}.2.golden.json`]),
    )
    expect(readContract(folder).events).toHaveLength(contract.events.length + 1)
  })

  it("has the schemas of released versions", () => {
    expect(releasedSchema("user_created", 1)).toMatchObject({ $id: "/schemas/user_created/1" })
    expect(releasedSchema("user_created", 2)).toBeUndefined()
  })
})

describe("a version in the source of a contract", () => {
  const source = `export const A = define("a", { data, key: "x" })
export const B = define("b", {
  data,
  version: 3,
})
export const C = define("c", {
  data,
})
`
  it.each([
    ["is added", "c", 2, source.replace(`define("c", {`, `define("c", {\n  version: 2,`)],
    ["is raised", "b", 4, source.replace("version: 3", "version: 4")],
    ["is not taken from another event", "a", 2, source.replace(`define("a", {`, `define("a", {\n  version: 2,`)],
  ])("%s", (_what, type, version, expected) => {
    expect(withVersion(source, type, version)).toBe(expected)
  })

  it("is not set where there is no definition", () => {
    expect(() => withVersion(source, "d", 2)).toThrow("the definition of d is not found")
  })
})
