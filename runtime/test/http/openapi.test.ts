import { describe, expect, layer } from "@effect/vitest"
import { Validator } from "@seriousme/openapi-schema-validator"
import { Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { it, vi } from "vitest"
import manifest from "../../../package.json" with { type: "json" }
import { api as adminApi } from "../../admin/api.ts"
import type { Module } from "../../module/Module.ts"
import { modules as known } from "../../modules.ts"
import { eventually, Scenario, scenario } from "../harness/scenario.ts"
import { documentOf } from "../../http/openapi/document.ts"
import * as operations from "../../http/openapi/operations.ts"
import { catalogue } from "../../http/Problem.ts"
import { type Ask, ask, json } from "./ask.ts"
import { words } from "./badValues.ts"
import { Documented, type Operation } from "./documented.ts"

/** The routes that the router of the last server was given, without those of the console's page. */
const served = vi.hoisted(() => new Set<string>())
vi.mock("effect/http", async (original) => {
  const all = await original<typeof import("effect/http")>()
  const { HttpRouter } = all.HttpRouter
  const noting = <F extends (...args: never) => unknown>(add: F, routesOf: (args: any) => ReadonlyArray<any>) =>
    new Proxy(add, {
      apply: (add, self, args) => {
        for (const [method, path] of routesOf(args).filter(([, path]) => !path.startsWith("/console/")))
          served.add(`${method} ${path.replaceAll(/:(\w+)/gu, "{$1}")}`)
        return Reflect.apply(add, self, args)
      },
    })
  const spied = Effect.map(HttpRouter, (router) => {
    served.clear()
    return {
      ...router,
      add: noting(router.add, (args) => [args]),
      addAll: noting(router.addAll, ([routes]) => routes.map(({ method, path }: any) => [method, path])),
    }
  })
  const layer = Layer.provide(Layer.effect(HttpRouter, spied), all.HttpRouter.layer)
  return { ...all, HttpRouter: { ...all.HttpRouter, layer } }
})

const send = (request: Ask) => Effect.flatMap(Scenario, ({ url }) => Effect.promise(() => ask(url, request)))
const get = (path: string, headers: Ask["headers"] = {}) => send({ path, headers })

const documented = Effect.map(get("/openapi.json"), ({ body }) => new Documented(body))

const uuid = "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"

/** An address of an operation, by the examples of its parameters. */
const addressOf = ({ path, says }: Operation): string =>
  says["parameters"].reduce(
    (address: string, { name, schema }: any) => address.replace(`{${name}}`, String(schema.examples?.[0] ?? uuid)),
    path,
  )

const bodyOf = ({ says }: Operation) => says["requestBody"]?.content["application/json"]

const request = (operation: Operation, body: unknown, headers: Ask["headers"] = json): Ask => ({
  method: operation.method,
  path: addressOf(operation),
  headers: body === undefined ? {} : headers,
  ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
})

const every = Object.values<Module>(known)
const sets: ReadonlyArray<readonly [names: string, modules: ReadonlyArray<Module>]> = [
  ["no module", []],
  ...every.map((module) => [module.name, [module]] as const),
  ["every module", every],
]

/** The examples that a part of the document gives, of a body or of a schema, with what each is to be. */
const exemplified = (part: any): ReadonlyArray<{ readonly schema: any; readonly example: unknown }> => {
  const { schema, example, examples = {} } = part
  if (Array.isArray(examples)) return examples.map((example) => ({ schema: part, example }))
  return [
    ...(example === undefined ? [] : [{ schema, example }]),
    ...Object.values<any>(examples).map(({ value }) => ({ schema, example: value })),
  ]
}

const slugsIn = (text: string) =>
  new Set([...text.matchAll(/"enum":\["\/problems\/([^"]+)"\]/gu)].map(([, slug]) => slug!))

describe.each(sets)("the document of %s", (_names, modules) => {
  const document = documentOf([...modules, { api: adminApi }, operations])
  const its = new Documented(document)
  const all = JSON.stringify(document)

  it("is OpenAPI 3.1, to others too", async () => {
    const validator = new Validator()
    expect(await validator.validate(JSON.parse(all))).toEqual({ valid: true })
    expect(validator.version).toBe("3.1")
    expect(document.info).toMatchObject({ title: "Galleria", version: manifest.version })
  })

  it("says of every operation what it is, by a name of its own", () => {
    const ids = its.operations.map(({ says }) => says["operationId"])
    expect(new Set(ids).size).toBe(ids.length)
    const tags = document.tags.map(({ name }) => name)
    for (const { says, path } of its.operations) {
      expect(says["operationId"]).toMatch(/^[a-z][a-zA-Z]*\.[a-z][a-zA-Z]*$/u)
      expect(says["summary"], path).toMatch(/^[A-Z].*[^.]$/u)
      expect(tags).toContain(says["tags"][0])
      for (const { name, description } of says["parameters"]) expect(description, `${path} ${name}`).toMatch(/\.$/u)
      for (const answer of Object.values<any>(says["responses"])) {
        const { description } = its.resolve(answer)
        expect(description, path).not.toMatch(/^(?:|Success|Error|<.*>)$/u)
      }
    }
    for (const { description } of document.tags) expect(description).toMatch(/\.$/u)
  })

  it("gives an example of every body that is sent, and of every answer in JSON", () => {
    for (const operation of its.operations) {
      if ("requestBody" in operation.says) expect(bodyOf(operation)).toHaveProperty("example")
      for (const [status, answer] of Object.entries<any>(operation.says["responses"])) {
        const { content = {} } = its.resolve(answer)
        const { "application/json": plain, "application/problem+json": problem } = content
        if (plain !== undefined && operation.path !== "/openapi.json") expect(plain, status).toHaveProperty("example")
        for (const [name, example] of Object.entries<any>(problem?.examples ?? {})) {
          expect(example.value, name).toMatchObject({ status: Number(status) })
        }
      }
    }
  })

  it("gives examples that are what they exemplify", () => {
    let count = 0
    const look = (part: any): void => {
      if (typeof part !== "object" || part === null) return
      for (const { schema, example } of exemplified(part)) {
        count++
        expect(its.strictFaultOf(schema, example), JSON.stringify(part)).toBeUndefined()
      }
      for (const [name, one] of Object.entries(part)) if (!/^examples?$/u.test(name)) look(one)
    }
    look(document)
    expect(count).toBeGreaterThan(50)
  })

  it("names no problem that there is not", () => {
    const known = catalogue().map(({ slug }) => slug)
    expect(slugsIn(all).size).toBeGreaterThan(10)
    expect([...slugsIn(all)].filter((slug) => !known.includes(slug))).toEqual([])
  })

  it("has nothing that nothing refers to, and refers to nothing that it has not", () => {
    const referred = new Set([...all.matchAll(/"#\/components\/(\w+\/\w+)"/gu)].map(([, name]) => name!))
    const { securitySchemes: _, ...parts } = document.components
    const there = Object.entries(parts).flatMap(([part, all]) => Object.keys(all).map((name) => `${part}/${name}`))
    expect(referred).toEqual(new Set(there))
  })

  it("asks for the token under /admin, and nowhere else", () => {
    for (const { path, says } of its.operations) {
      expect([path, says["security"]]).toEqual([path, path.startsWith("/admin/") ? [{ bearer: [] }, {}] : []])
    }
  })
})

describe("the document of every module", () => {
  const document = documentOf([...every, { api: adminApi }, operations])

  it("has every problem that there is", () => {
    const known = catalogue().map(({ slug }) => slug)
    const missing = known.filter((slug) => !slugsIn(JSON.stringify(document)).has(slug))
    // Of addresses that are no operation, which is said in words.
    expect(missing).toEqual(["method-not-allowed"])
    expect(document.info.description).toContain("/problems/method-not-allowed")
  })
})

for (const [names, modules] of sets.slice(1)) {
  layer(scenario(modules), { excludeTestServices: true })(`/openapi.json, where ${names} runs`, (it) => {
    it.effect("has every route that is served, and no other", () =>
      Effect.gen(function* () {
        const { operations } = yield* documented
        expect(served.size).toBeGreaterThan(10)
        expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([...served].sort())
      }),
    )

    it.effect("describes each so that it answers as it is described, with a body and without", () =>
      Effect.gen(function* () {
        const its = yield* documented
        for (const operation of its.operations) {
          for (const body of [bodyOf(operation)?.example, undefined]) {
            const answer = yield* send(request(operation, body))
            expect(String(answer.body?.type), operation.path).not.toMatch(
              /\/(?:not-found|method-not-allowed|internal)$/u,
            )
            its.expectDocumented(operation.method, operation.path, answer)
          }
        }
      }),
    )

    it.effect("says which bodies may be left out", () =>
      Effect.gen(function* () {
        const { operations } = yield* documented
        for (const operation of operations.filter((one) => "requestBody" in one.says)) {
          const { body } = yield* send(request(operation, undefined))
          const isMissed = /\/(?:malformed-json|validation-failed)$/u.test(String(body?.type))
          expect([operation.path, isMissed]).toEqual([operation.path, operation.says["requestBody"].required])
        }
      }),
    )
  })
}

/** What stands at every place of an example, by the path to it. */
const leavesOf = (value: unknown, path: ReadonlyArray<string | number> = []): ReadonlyArray<typeof path> =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, one]) => leavesOf(one, [...path, Array.isArray(value) ? Number(key) : key]))
    : [path]

const withLeaf = (value: any, [first, ...rest]: ReadonlyArray<string | number>, leaf: unknown): unknown => {
  if (first === undefined) return leaf
  const copy = Array.isArray(value) ? [...value] : { ...value }
  copy[first] = withLeaf(value[first], rest, leaf)
  return copy
}

/** Values round the edges of what may be a limit. */
const edges: ReadonlyArray<unknown> = [
  null,
  true,
  [],
  {},
  "",
  " ",
  "a\u0000",
  ...words("é 😀 Card card-ok a@b.co a@b @b.co"),
  ...[1, 64, 65, 199, 200, 201, 499, 500, 501].map((length) => "a".repeat(length)),
  ...[200, 201].map((length) => "😀".repeat(length)),
  ...[254, 255].map((length) => `${"a".repeat(length - 192)}@${`${"b".repeat(61)}.`.repeat(3)}example`.slice(-length)),
  ...words("-1 0 0.01 0.5 1 1.5 1000000 1000001 99999999.99 100000000 9007199254740991 9007199254740992").map(Number),
  ...words(`0 0.0 0.00 0.01 0.1 00.1 01 1 1.00 1.000 1. .5 -1 +1 1e1 99999999.99 100000000 1,5`),
]

/** Values of that kind, as an address has them. */
const inAddresses = words(`0 1 01 200 201 -1 1.5 a created parked %00 9007199254740991 9007199254740992`)

// No provider answers there, so orders are not ended by themselves.
const unpaid = { ORDER_STEPS: "payment,inventory", USER_WAIT_MS: "0", PAYMENT_PROVIDER_URL: "http://127.0.0.1:9" }

layer(scenario(every, unpaid), { excludeTestServices: true })("who knows /openapi.json alone", (it) => {
  const signUp = Effect.gen(function* () {
    const { post, get } = yield* Scenario
    yield* post("/users", { email: "first@example.org", name: "A" })
    yield* eventually(Effect.map(post("/orders", { user_id: 1, amount: 1 }), ({ status }) => expect(status).toBe(201)))
    yield* eventually(Effect.map(get("/users/1/orders"), ({ body }) => expect(body.items).toHaveLength(1)))
  })

  it.effect("is accepted with every example", () =>
    Effect.gen(function* () {
      yield* signUp
      const its = yield* documented
      const taking = its.operations.filter((operation) => bodyOf(operation) !== undefined)
      expect(taking.length).toBeGreaterThan(4)
      for (const operation of taking) {
        const { example, schema } = bodyOf(operation)
        for (const body of new Set([example, ...(its.resolve(schema)["examples"] ?? [])])) {
          const { status, text } = yield* send(request(operation, body))
          // Where there is no such thing, the body has been accepted all the same.
          expect(addressOf(operation).includes(uuid) ? [404] : [200, 201, 202], text).toContain(status)
        }
      }
    }),
  )

  it.effect("is refused exactly what a schema refuses, value by value at the edges", () =>
    Effect.gen(function* () {
      const its = yield* documented
      let [refused, accepted] = [0, 0]
      for (const operation of its.operations) {
        const { schema, example } = bodyOf(operation) ?? {}
        const examples = schema === undefined ? [] : new Set([example, ...(its.resolve(schema)["examples"] ?? [])])
        for (const [body, leaf] of [...examples].flatMap((body) =>
          leavesOf(body).map((leaf) => [body, leaf] as const),
        )) {
          for (const edge of edges) {
            const changed = withLeaf(body, leaf, edge)
            const answer = yield* send(request(operation, changed))
            const fault = its.faultOf(schema, changed)
            const what = `${operation.path} ${JSON.stringify(changed)} → ${answer.text}`
            // That the items come to too much together is said in words.
            if (leaf.length > 1 && answer.body?.errors?.[0].pointer === `/${leaf[0]}`) continue
            if (fault === undefined) accepted++
            else refused++
            expect([what, answer.status === 422]).toEqual([what, fault !== undefined])
          }
        }
      }
      expect(refused).toBeGreaterThan(300)
      expect(accepted).toBeGreaterThan(100)
    }),
  )

  it.effect("is refused exactly what a parameter refuses", () =>
    Effect.gen(function* () {
      const its = yield* documented
      const numberOrText = (text: string, { type }: any) =>
        type === "integer" && /^(?:0|-?[1-9]\d*)$/u.test(text) ? Number(text) : decodeURIComponent(text)
      let count = 0
      for (const operation of its.operations) {
        for (const { name, in: place, schema } of operation.says["parameters"]) {
          if (place === "header" || ["cursor", "slug", "type", "version"].includes(name)) continue
          for (const text of inAddresses) {
            count++
            const path =
              place === "path" ? operation.path.replace(`{${name}}`, text) : `${addressOf(operation)}?${name}=${text}`
            const answer = yield* send({ ...request(operation, undefined), path })
            const refusal = place === "path" ? "/problems/not-found" : "/problems/validation-failed"
            const isRefused = answer.body?.type === refusal
            expect([path, isRefused]).toEqual([path, its.faultOf(schema, numberOrText(text, schema)) !== undefined])
          }
        }
      }
      expect(count).toBeGreaterThan(150)
    }),
  )

  it.effect("is refused exactly the keys that the header refuses", () =>
    Effect.gen(function* () {
      const its = yield* documented
      const operation = its.of("POST", "/users")
      const { schema } = operation.says["parameters"].find(({ name }: any) => name === "Idempotency-Key")
      for (const key of ["a", "a b", "~!", "a".repeat(255), "a".repeat(256), "a\tb", "é"]) {
        const { body, status } = yield* send(
          request(operation, { email: "keyed@example.org", name: "A" }, { ...json, "idempotency-key": key }),
        )
        expect([key, body.type === "/problems/invalid-idempotency-key"]).toEqual([
          key,
          its.faultOf(schema, key) !== undefined,
        ])
        expect([201, 400, 409]).toContain(status)
      }
    }),
  )

  const key = { ...json, "idempotency-key": "once" }
  const ann = `{"email":"ann.once@example.org","name":"Ann"}`
  const talk: ReadonlyArray<readonly [what: string, status: number, request: Ask]> = [
    ["a user", 201, { method: "POST", path: "/users", headers: key, body: ann }],
    ["a user again", 201, { method: "POST", path: "/users", headers: key, body: ann }],
    ["another with the key", 422, { method: "POST", path: "/users", headers: key, body: ann.replace("Ann", "Eve") }],
    ["a taken e-mail", 409, { method: "POST", path: "/users", headers: json, body: ann }],
    ["no JSON", 400, { method: "POST", path: "/users", headers: json, body: "{" }],
    ["no UTF-8", 400, { method: "POST", path: "/orders", headers: json, body: Buffer.from([0x22, 0xff, 0x22]) }],
    ["text", 415, { method: "POST", path: "/orders", headers: { "content-type": "text/plain" }, body: "1" }],
    ["too much", 413, { method: "POST", path: "/orders", headers: json, body: " ".repeat(1024 * 1024 + 1) }],
    ["an order without amount", 422, { method: "POST", path: "/orders", headers: json, body: `{"user_id":1}` }],
    [
      "an order of an unknown user",
      404,
      { method: "POST", path: "/orders", headers: json, body: `{"user_id":99,"amount":1}` },
    ],
    [
      "an order",
      201,
      {
        method: "POST",
        path: "/orders",
        headers: json,
        body: `{"user_id":1,"amount":1,"payment_method":"card_down"}`,
      },
    ],
    ["a cancellation", 200, { method: "POST", path: "/orders/2/cancel" }],
    ["the order", 200, { path: "/orders/2" }],
    ["its history", 200, { path: "/orders/2/history?limit=1" }],
    ["no order", 404, { path: "/orders/99999" }],
    ["no id", 404, { path: "/orders/x" }],
    ["a page of orders", 200, { path: "/orders?limit=1&status=cancelled" }],
    ["a page of no limit", 422, { path: "/orders?limit=0" }],
    ["a forged cursor", 400, { path: "/users?cursor=x" }],
    ["the orders of a user", 200, { path: "/users/1/orders" }],
    ["their sum", 200, { path: "/users/1/order-summary" }],
    ["headers without end", 431, { path: "/users", headers: { x: "x".repeat(20_000) } }],
    ["the machine", 200, { path: "/admin/dead-letters?status=parked" }],
    ["a foreign page", 403, { path: "/admin/dead-letters", headers: { origin: "https://elsewhere.example" } }],
    ["no entry", 404, { method: "POST", path: `/admin/dead-letters/${uuid}/redrive` }],
    ["all entries", 200, { method: "POST", path: "/admin/dead-letters/redrive", headers: json, body: "{}" }],
    ["no reaction", 404, { path: "/admin/replays/nobody" }],
    ["readiness", 200, { path: "/readyz" }],
    ["metrics", 200, { path: "/metrics" }],
    ["problems, on a page", 200, { path: "/problems", headers: { accept: "text/html" } }],
    ["a problem", 200, { path: "/problems/internal" }],
    ["no problem", 404, { path: "/problems/nothing" }],
    ["the document", 200, { path: "/docs" }],
  ]
  it.effect("is answered as it says", () =>
    Effect.gen(function* () {
      const its = yield* documented
      for (const [what, status, request] of talk) {
        const answer = yield* send(request)
        expect([what, answer.status]).toEqual([what, status])
        its.expectDocumented(request.method ?? "GET", request.path, answer)
      }
    }),
  )

  it.effect("is shown a dead letter as it says", () =>
    Effect.gen(function* () {
      const { put } = yield* Scenario
      const its = yield* documented
      const reacting = every.filter(({ reactions }) => reactions.some(({ event }) => event.type === "user_created"))
      yield* put({ topic: "user_created", value: Buffer.from("no JSON") })
      const path = "/admin/dead-letters?status=parked"
      const answer = yield* eventually(
        Effect.map(get(path), (answer) => {
          // One for each module that reacts to it.
          expect(answer.body.items).toHaveLength(reacting.length)
          return answer
        }),
      )
      its.expectDocumented("GET", path, answer)
      const one = `/admin/dead-letters/${answer.body.items[0].id}`
      its.expectDocumented("GET", one, yield* get(one))
      its.expectDocumented("POST", `${one}/discard`, yield* send({ method: "POST", path: `${one}/discard` }))
    }),
  )
})

layer(scenario(every.slice(0, 1)), { excludeTestServices: true })("/docs", (it) => {
  it.effect("shows /openapi.json", () =>
    Effect.gen(function* () {
      const page = yield* get("/docs")
      expect(page.headers["content-type"]).toBe("text/html; charset=utf-8")
      const [, shown] = /<script id="swagger-spec" type="application\/json">(.*?)<\/script>/su.exec(page.text)!
      expect(JSON.parse(shown!)).toEqual((yield* get("/openapi.json")).body)
    }),
  )

  it.effect("has all that it needs in itself, and may fetch nothing from elsewhere", () =>
    Effect.gen(function* () {
      const { text, headers } = yield* get("/docs")
      const policy = Object.fromEntries(
        headers["content-security-policy"]!.toString()
          .split("; ")
          .map((directive) => [directive.split(" ")[0], directive.split(" ").slice(1)]),
      )
      expect(policy["default-src"]).toEqual(["'none'"])
      for (const sources of Object.values<ReadonlyArray<string>>(policy)) {
        for (const source of sources)
          expect(source).toMatch(/^(?:'none'|'self'|'unsafe-inline'|'sha256-[\w+/]{43}='|data:)$/u)
      }
      const scripts = [...text.matchAll(/<script>(.*?)<\/script>/gsu)].map(([, script]) => script!)
      expect(policy["script-src"]).toEqual(
        scripts.map((script) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`),
      )
      const rest = text.replaceAll(/<(script|style)\b.*?<\/\1>/gsu, "")
      expect(rest).toContain("<body>")
      expect(rest).not.toMatch(/\b(?:src|href|action)=|url\(|@import|https?:/u)
    }),
  )

  it.effect("is not sent again to a client that has it, like /openapi.json", () =>
    Effect.gen(function* () {
      for (const path of ["/docs", "/openapi.json"]) {
        const first = yield* get(path)
        const etag = String(first.headers["etag"])
        for (const known of [etag, `"other", W/${etag}`]) {
          expect(yield* get(path, { "if-none-match": known })).toMatchObject({
            status: 304,
            text: "",
            headers: { etag },
          })
        }
        expect((yield* get(path, { "if-none-match": '"other"' })).text).toBe(first.text)
      }
    }),
  )
})
