import { describe, expect, it, layer } from "@effect/vitest"
import { DiagnosticSeverity, Parser } from "@asyncapi/parser"
import { Effect } from "effect"
import { order } from "../../modules/order/module.ts"
import { UserCreated } from "../../modules/user/contract/events.ts"
import { user } from "../../modules/user/module.ts"
import { encode } from "../events/cloudEvents.ts"
import { eventsOf, type Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { ask } from "../test/http/ask.ts"
import { Documented } from "../test/http/documented.ts"
import { Scenario, scenario } from "../test/harness/scenario.ts"
import { asyncApiOf } from "./asyncapi.ts"
import { schemaOf } from "./eventSchema.ts"
import { eventsSection } from "./page.ts"

const every = Object.values<Module>(modules)
/** Errors and warnings; below them are hints, such as a newer version of the specification. */
const severe = new Set<number>([DiagnosticSeverity.Error, DiagnosticSeverity.Warning])

const faultsOf = async (document: unknown) => {
  const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(document))
  const faults = diagnostics.filter(({ severity }) => severe.has(severity))
  const words = faults.map(({ message, path }) => `${path.join(".")}: ${message}`)
  return parsed === undefined ? [...words, "it was not parsed"] : words
}

describe.each([...every.map((module) => [module.name, [module]] as const), ["every module", every] as const])(
  "the AsyncAPI document of %s",
  (_names, modules) => {
    const document = asyncApiOf(modules)

    it("is valid by the official parser", async () => {
      expect(await faultsOf(document)).toEqual([])
    })

    it("has each event as a channel, and each declaration as an operation", () => {
      expect(Object.keys(document["channels"])).toEqual(eventsOf(modules).map(({ type }) => type))
      expect(Object.keys(document["operations"])).toHaveLength(
        modules.flatMap(({ publishes, reactions }) => [...publishes, ...reactions]).length,
      )
    })

    it("describes every message, with an example that its schemas accept", () => {
      const its = new Documented({ ...document, paths: {} })
      for (const [type, { summary, headers, payload, examples }] of Object.entries<any>(
        document["components"].messages,
      )) {
        expect(summary, type).toMatch(/^[A-Z].*\.$/su)
        expect(examples).toHaveLength(1)
        expect([type, its.strictFaultOf(headers, examples[0].headers)]).toEqual([type, undefined])
        expect([type, its.strictFaultOf(payload, examples[0].payload)]).toEqual([type, undefined])
        expect(Object.keys(examples[0].payload)).toEqual(Object.keys(payload.properties))
      }
    })
  },
)

describe("the AsyncAPI document", () => {
  const document = asyncApiOf([user, order])
  const its = new Documented({ ...document, paths: {} })
  const { headers } = document["components"].messages["user_created"]
  const record = {
    id: "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42",
    source: "/galleria/user",
    ...UserCreated,
    key: "1",
    subject: "1",
    time: "2026-01-02T03:04:05.678Z",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    data: "{}",
  }

  it("describes the headers that a record has, and requires those that each record has", () => {
    const full = encode(record).headers
    expect(its.strictFaultOf(headers, full)).toBeUndefined()
    const { traceparent: _, ...needed } = full
    expect(its.strictFaultOf(headers, needed)).toBeUndefined()
    expect(headers.required.toSorted()).toEqual(Object.keys(needed).toSorted())
    expect(its.faultOf(headers, { ...full, ce_source: "/galleria/order" })).toBeDefined()
  })

  it("says which data is the key", () => {
    expect(document["channels"]["user_created"].description).toBe(
      "The key of a record is `user_id` of its data: events of one `user_id` are in one partition, in order. Records are never removed.",
    )
  })

  it("has publications and reactions", () => {
    expect(document["operations"]["user.user_created"]).toMatchObject({
      action: "send",
      channel: { $ref: "#/channels/user_created" },
    })
    expect(document["operations"]["order.know-user"]).toMatchObject({
      action: "receive",
      channel: { $ref: "#/channels/user_created" },
      bindings: { kafka: { groupId: { enum: ["order_service_group"] } } },
    })
  })

  it("says the same where two events name a schema", () => {
    const defs = eventsOf(every).flatMap((event) => Object.entries<any>(schemaOf(event)["$defs"] ?? {}))
    const { schemas } = asyncApiOf(every)["components"]
    const text = (schema: unknown) => JSON.stringify(schema).replaceAll("#/$defs/", "#/components/schemas/")
    for (const [name, schema] of defs) expect(text(schemas[name])).toBe(text(schema))
  })

  it("escapes what it shows on the page", () => {
    const hostile = UserCreated.data.annotate({ description: "<script>`a&b`" })
    const section = eventsSection(asyncApiOf([{ ...user, publishes: [{ ...UserCreated, data: hostile }] }]))
    expect(section).toContain("&#60;script&#62;<code>a&#38;b</code>")
    expect(section).not.toContain("<script>")
  })
})

layer(scenario([user, order]), { excludeTestServices: true })("the contract of events over HTTP", (it) => {
  const get = (path: string, headers = {}) =>
    Effect.flatMap(Scenario, ({ url }) => Effect.promise(() => ask(url, { path, headers })))

  it.effect("is /asyncapi.json, of the modules that run", () =>
    Effect.gen(function* () {
      const { status, headers, body } = yield* get("/asyncapi.json")
      expect(status).toBe(200)
      expect(headers["content-type"]).toBe("application/json")
      expect(body).toEqual(asyncApiOf([user, order]))
      expect((yield* get("/asyncapi.json", { "if-none-match": headers.etag })).status).toBe(304)
    }),
  )

  it.effect("has a schema at every ce_dataschema of its messages", () =>
    Effect.gen(function* () {
      const { messages } = asyncApiOf([user, order])["components"]
      expect(Object.keys(messages).length).toBeGreaterThan(8)
      for (const { headers } of Object.values<any>(messages)) {
        const path = headers.properties.ce_dataschema.enum[0]
        const answer = yield* get(path)
        expect([path, answer.status, answer.body?.$id]).toEqual([path, 200, path])
        expect(answer.headers["content-type"]).toBe("application/schema+json")
        expect((yield* get(path, { "if-none-match": answer.headers.etag })).status).toBe(304)
      }
    }),
  )

  it.effect("is exemplified in /openapi.json by an event of the modules that run", () =>
    Effect.gen(function* () {
      const { body } = yield* get("/openapi.json")
      const examples = body.paths["/schemas/{type}/{version}"].get.parameters.map(({ schema }: any) => schema.examples)
      expect(examples.slice(0, 2)).toEqual([["user_created"], ["1"]])
    }),
  )

  it.effect("has no schema elsewhere", () =>
    Effect.gen(function* () {
      for (const path of [
        "/schemas/user_created/2",
        "/schemas/notification_sent/1",
        "/schemas/user_created/01",
        "/schemas",
      ]) {
        const { status, body } = yield* get(path)
        expect([path, status, body.type]).toEqual([path, 404, "/problems/not-found"])
      }
    }),
  )

  it.effect("is on the page /docs", () =>
    Effect.gen(function* () {
      const { text } = yield* get("/docs")
      for (const { type } of eventsOf([user, order])) expect(text).toContain(`id="events/${type}"`)
      expect(text).toContain("<code>/asyncapi.json</code>")
    }),
  )
})
