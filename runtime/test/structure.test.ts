import { describe, expect, it, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { readFileSync } from "node:fs"
import { order } from "../../modules/order/module.ts"
import { OrderCancelled, OrderCreated } from "../../modules/order/contract/events.ts"
import { user } from "../../modules/user/module.ts"
import { Users } from "../../modules/user/Users.ts"
import type { EventType } from "../events/Event.ts"
import { routesOf } from "../http/openapi/document.ts"
import { headers } from "../http/Idempotency.ts"
import { Edge } from "../http/Problem.ts"
import { mapOf } from "../commands/map.ts"
import { importsOf, sourcesIn } from "../commands/sources.ts"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { Scenario, scenario } from "./harness/scenario.ts"
import { type Defined, faults } from "./declarations.ts"
import { ghosts, modulesIn, sharedWords, upward, vagueNames, violations } from "./imports.ts"

const root = new URL("../..", import.meta.url).pathname
const sources = sourcesIn(root, "modules", "runtime")

describe("the structure", () => {
  it("has no forbidden import", () => {
    expect(violations(sources)).toEqual([])
  })

  it("was checked: there are files and imports", () => {
    expect(sources.length).toBeGreaterThan(50)
    expect(sources.flatMap(importsOf).length).toBeGreaterThan(250)
  })

  it("has folders in one order, each of which imports only from those before it", () => {
    expect(upward(sources)).toEqual([])
  })

  it.each([
    ["a port with its user", "runtime/sql/Database.ts", `import { attempt } from "../delivery/attempt.ts"`],
    ["the lowest folder with the next one", "runtime/loop/loop.ts", `import { lines } from "../telemetry/logs.ts"`],
    ["a folder with the composition", "runtime/admin/http.ts", `import { galleria } from "../compose.ts"`],
    ["the program with its tests", "runtime/admin/http.ts", `import "../test/harness/process.ts"`],
    ["a folder that is not in the order", "runtime/attic/box.ts", ""],
  ])("is red for %s", (_what, path, text) => {
    expect(upward([{ path, text }])).toHaveLength(1)
  })

  it("exports no word with two meanings from the runtime", () => {
    expect(sharedWords(sources)).toEqual([])
    const other = { path: "runtime/health/other.ts", text: "export interface Check {}" }
    expect(sharedWords([...sources, other])).toEqual([
      "Check means runtime/health/health.ts and runtime/health/other.ts",
    ])
  })

  it("has all that its rules name", () => {
    expect(ghosts(sources)).toEqual([])
    expect(ghosts(sources.filter(({ path }) => path !== "runtime/module/Tasks.ts"))).toEqual([
      "runtime/module/Tasks.ts",
    ])
  })

  it("runs every module that there is", () => {
    expect(Object.keys(modules).sort()).toEqual(modulesIn(sources))
  })

  it("has no names without meaning", () => {
    expect(vagueNames(sources)).toEqual([])
  })

  it.each([
    ["a folder", "runtime/utils/retry.ts", ""],
    ["a file", "modules/order/helpers.ts", ""],
    ["a class", "modules/order/Orders.ts", "export class OrdersImpl {}"],
    ["a layer", "modules/order/Orders.ts", "export const OrdersLive = 1"],
  ])("is red for %s whose name says nothing", (_what, path, text) => {
    expect(vagueNames([{ path, text }])).toHaveLength(1)
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
    ["a module with its driver's package", "modules/notification/Notifications.ts", `await import("nodemailer")`],
    ["a module's driver with another package", "modules/notification/mailer/SmtpMailer.ts", `import pg from "pg"`],
    ["a module with another's driver", "modules/order/Orders.ts", `import "../notification/mailer/SmtpMailer.ts"`],
    ["a module with node", "modules/order/Orders.ts", `import { readFileSync } from "node:fs"`],
    ["a module with the environment", "modules/order/Orders.ts", `const port = process.env.PORT`],
    ["a module that exports another's", "modules/order/Orders.ts", `export { Users } from "../user/Users.ts"`],
    ["a module with a dynamic import", "modules/order/Orders.ts", `const it = await import("../user/Users.ts")`],
    ["a contract with a database", "modules/user/contract/api.ts", `import { SqlClient } from "effect/sql"`],
    ["a contract with node", "modules/user/contract/ids.ts", `import { randomUUID } from "node:crypto"`],
    [
      "a contract with the runtime",
      "modules/user/contract/api.ts",
      `import { Edge } from "../../../runtime/http/edge/edge.ts"`,
    ],
    ["a module with another's module", "modules/order/module.ts", `import { user } from "../user/module.ts"`],
    ["a module with the composition", "modules/order/module.ts", `import { galleria } from "../../runtime/compose.ts"`],
    ["a module with the tests' helpers", "modules/order/Orders.ts", `import "../../runtime/test/harness/scenario.ts"`],
    ["a shared value with the runtime", "modules/Money.ts", `import { define } from "../runtime/events/Event.ts"`],
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
    ["the settings with a driver", "runtime/config.ts", `import "./events/kafka/KafkaEventBus.ts"`],
    ["the runtime with Redis", "runtime/compose.ts", `import { createClient } from "redis"`],
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

const isEventType = (value: unknown): value is EventType =>
  typeof value === "object" && value !== null && "keptForever" in value

/** What the contracts define, those of modules to come included. */
const defined: ReadonlyArray<Defined> = (
  await Promise.all(
    sources.map(async ({ path }) => {
      const by = /^modules\/(\w+)\/contract\/events\.ts$/u.exec(path)?.[1]
      if (by === undefined) return []
      const contract: object = await import(/* @vite-ignore */ `../../${path}`)
      return Object.values(contract)
        .filter(isEventType)
        .map((event) => ({ by, event }))
    }),
  )
).flat()

describe("the modules' declarations", () => {
  it("agree", () => {
    expect(defined.length).toBeGreaterThan(10)
    expect(faults(modules, defined)).toEqual([])
  })

  const without = (event: EventType) => order.publishes.filter((one) => one !== event)
  const renamed = (name: string) => user.reactions.map((reaction) => ({ ...reaction, name }))
  const unguarded = HttpApi.make("galleria").add(HttpApiGroup.make("x").add(HttpApiEndpoint.get("x", "/x")))

  const unkept = HttpApi.make("galleria").add(
    HttpApiGroup.make("x")
      .add(HttpApiEndpoint.post("x", "/x", { headers, success: Schema.Int }))
      .middleware(Edge),
  )

  const red: ReadonlyArray<readonly [what: string, modules: Record<string, Module>, faults: ReadonlyArray<string>]> = [
    ["a module under another's name", { shop: order }, ["order runs under the name shop"]],
    [
      "a reaction without a module",
      { user: { ...user, reactions: renamed("x").slice(0, 1) } },
      ["the name of the reaction x does not begin with user."],
    ],
    [
      "two reactions of one name",
      { user: { ...user, reactions: renamed("user.x") } },
      ["two reactions have the name user.x"],
    ],
    ["endpoints past the edge", { order: { ...order, api: unguarded } }, ["GET /x of order does not go through Edge"]],
    [
      "a key whose answer is not kept",
      { order: { ...order, api: unkept } },
      ["POST /x of order takes an Idempotency-Key, and its success is neither created nor updated"],
    ],
    ["two modules at one address", { order, user: { ...user, api: order.api } }, ["two modules serve /orders"]],
    [
      "an event that no module publishes",
      { user, order: { ...order, publishes: without(OrderCancelled) } },
      ['order does not publish order_cancelled: name it under "publishes" in module.ts'],
    ],
    [
      "an event that another publishes too",
      { order, user: { ...user, publishes: [...user.publishes, OrderCreated] } },
      ["user publishes order_created, which its contract does not define"],
    ],
  ]
  it.each(red)("do not with %s", (_what, modules, expected) => {
    expect(faults(modules, defined)).toEqual(expected)
  })

  it("do not with events that no contract defines, or two", () => {
    const others = defined.filter(({ event }) => event !== OrderCreated)
    expect(faults({ user }, others)).toEqual(["user.record-order reacts to order_created, which no contract defines"])
    const twice = [...defined, { by: "shipping", event: { ...OrderCreated } }]
    expect(faults({ user }, twice)).toEqual(["two contracts define order_created"])
  })
})

describe("the map", () => {
  const all = Object.values(modules)
  const readme = readFileSync(`${root}/README.md`, "utf8")

  it("of README is the one that is printed", () => expect(readme).toContain(`\n\n${mapOf(all)}\n\n`))

  it.each([
    ["an endpoint", { api: user.api }],
    ["an event", { publishes: [] }],
    ["a reaction", { reactions: order.reactions.slice(1) }],
  ])("changes with %s", (_what, change) => {
    expect(mapOf(all.map((module) => (module === order ? { ...module, ...change } : module)))).not.toBe(mapOf(all))
  })
})

for (const module of Object.values(modules)) {
  const { name } = module
  layer(scenario([module]), { excludeTestServices: true })(`the module ${name}, by itself`, (it) => {
    it.effect("starts, and serves what it declares and nothing of others", () =>
      Effect.gen(function* () {
        const { get } = yield* Scenario
        const { status, body } = yield* get("/readyz")
        expect({ status, state: body.state }).toEqual({ status: 200, state: "ready" })
        const checks = Object.keys(body.checks)
        expect(checks).toEqual(expect.arrayContaining(["events", `consumer.${name}`, `database.${name}`]))
        const others = Object.keys(modules).filter((other) => other !== name)
        expect(checks.filter((check) => others.some((other) => check.endsWith(`.${other}`)))).toEqual([])
        for (const other of Object.values(modules)) {
          for (const { path } of routesOf([other])) {
            const answer = yield* get(path.replaceAll(/\{\w+\}/gu, "1"))
            const served = routesOf([module]).some((route) => route.path === path)
            expect([path, answer.body.type === "/problems/not-found"]).toEqual([path, !served])
          }
        }
      }),
    )

    it.effect("compares text in an index byte by byte, so that it is found on any machine", () =>
      Effect.gen(function* () {
        const { database } = yield* Scenario
        const indexed = yield* database(name)<{ name: string; collation: string }>`
          select distinct i.indrelid::regclass || '.' || a.attname as name, c.collname as collation
          from pg_index i join pg_class t on t.oid = i.indrelid
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
          join pg_collation c on c.oid = a.attcollation
          join pg_namespace n on n.oid = t.relnamespace
          where (n.nspname = ${name} or n.nspname like ${`${name}\\_%`}) and t.relname not like '%_migrations'`
        expect(indexed.length).toBeGreaterThan(5)
        expect(indexed.filter(({ collation }) => collation !== "C")).toEqual([])
      }),
    )

    it.effect("keeps to a schema of its own", () =>
      Effect.gen(function* () {
        const { database } = yield* Scenario
        const schemas = yield* database(name)<{ schema: string }>`
          select distinct table_schema as schema from information_schema.tables
          where table_schema not in ('information_schema', 'pg_catalog') order by 1`
        const names = schemas.map(({ schema }) => schema)
        expect(names).toEqual(expect.arrayContaining(["events", name]))
        // What a module keeps apart from its tables, as the payment sandbox does, has a schema of its name's.
        expect(names.filter((schema) => schema !== "events" && !`${schema}_`.startsWith(`${name}_`))).toEqual([])
      }),
    )
  })
}

describe("a module that needs another's service", () => {
  it("does not start by itself", async () => {
    const leaking = { ...user, layer: Layer.provide(order.layer, Layer.effectDiscard(Users)) as Module["layer"] }
    const exit = await Effect.runPromiseExit(Effect.scoped(Layer.build(scenario([leaking]))))
    expect(Exit.isFailure(exit) && String(exit.cause)).toMatch(/Service not found: .*Users/u)
  })
})
