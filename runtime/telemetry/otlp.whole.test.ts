import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { readSettings } from "../config.ts"
import { type Collector, collect, type Metric, type Span } from "../test/harness/collector.ts"
import * as otlp from "./otlp.ts"
import { traced } from "./trace.ts"
import { type Galleria, start, temporaryFolder, until } from "../test/harness/process.ts"
import { spine } from "../test/harness/spine.ts"

const caller = { trace: "4bf92f3577b34da6a3ce929d0e0e4736", span: "00f067aa0ba902b7" }
const traceparent = `00-${caller.trace}-${caller.span}-01`
const ada = { email: "ada.lovelace@example.org", name: "Augusta Ada King" }
const laptop = { product_id: "LAPTOP001", product_name: "Gaming Laptop", quantity: 2, price: "999.95" }

/** None of this may be exported: personal data, products, amounts, query strings. */
const secrets = /lovelace|augusta|gaming|999\.95|1999\.90|123\.45|jane|changed my mind|my-own-key/iu

/** A folder with a user, of which each test takes a copy. */
const prepared = temporaryFolder()
beforeAll(async () => {
  await using galleria = await start({ modules: spine, dataDir: prepared.path })
  expect(await galleria.call("POST", "/users", { email: "first@example.org", name: "First" })).toMatchObject({
    status: 201,
    body: { id: 1 },
  })
  expect(await galleria.stop()).toEqual({ code: 0, signal: null })
})
afterAll(() => prepared[Symbol.dispose]())

/** On a busy machine the news of a user may take longer than an order usually waits for them. */
const patient = { USER_WAIT_MS: "60000" }

const withOtlp = (endpoint: string, dataDir: string) =>
  start({ modules: spine, dataDir, env: { ...patient, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, LOG_LEVEL: "trace" } })

/** Whether that many orders are processed, and all is done about them: what is done for two at once has a trace of its own. */
const areProcessed = async (galleria: Galleria, count: number) => {
  const { body } = await galleria.call<{ items: ReadonlyArray<{ status: string }> }>("GET", "/users/2/orders")
  return body.items.filter(({ status }) => status === "processed").length === count
}

describe("OTLP", () => {
  let collector: Collector
  let output = ""
  let spans: ReadonlyArray<Span> = []
  let metrics: ReadonlyArray<Metric> = []
  beforeAll(async () => {
    collector = await collect({ path: "/otlp" })
    using copy = temporaryFolder(prepared.path)
    await using galleria = await withOtlp(`${collector.endpoint}/`, copy.path)
    const { call } = galleria
    await call("POST", "/users", ada)
    const key = { traceparent, "idempotency-key": "my-own-key" }
    await call("POST", "/orders", { user_id: 2, items: [laptop] }, key)
    await until("the order is processed", () => areProcessed(galleria, 1))
    await call("POST", "/orders", { user_id: 2, amount: "123.45" }, { traceparent: traceparent.replace(/01$/u, "00") })
    await until("the unsampled order too", () => areProcessed(galleria, 2))
    await call("POST", "/orders", { user_id: 2, amount: "0.001", reason: "changed my mind" })
    await call("POST", "/users", ada)
    await call("GET", "/users/jane@example.org?email=jane@example.org")
    await call("GET", "/search/jane?name=Jane")
    await call("GET", "/orders/1")
    await until("the reactions' spans left", () => named(collector.spans(), "process order_processed").length > 0)
    expect(await galleria.stop()).toEqual({ code: 0, signal: null })
    output = galleria.output()
    spans = collector.spans()
    metrics = collector.metrics()
  })
  afterAll(() => collector[Symbol.asyncDispose]())

  const named = (among: ReadonlyArray<Span>, name: string) => among.filter((span) => span.name === name)
  const one = (name: string, attributes: Span["attributes"] = {}): Span => {
    const found = named(ofTheOrder(), name).filter((span) =>
      Object.entries(attributes).every(([key, value]) => span.attributes[key] === value),
    )
    expect(found, name).toHaveLength(1)
    return found[0]!
  }
  const ofTheOrder = () => spans.filter(({ traceId }) => traceId === caller.trace)
  /** Whether one is in the other, over whatever is in between. */
  const isWithin = (inner: Span, outer: Span): boolean => {
    if (inner.parentSpanId === outer.spanId) return true
    const parent = spans.find(({ spanId }) => spanId === inner.parentSpanId)
    return parent !== undefined && isWithin(parent, outer)
  }

  it("is sent to the standard paths below the endpoint, as JSON, with the service name", () => {
    expect(new Set(collector.requests)).toEqual(
      new Set(["POST /otlp/v1/traces application/json", "POST /otlp/v1/metrics application/json"]),
    )
    expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(["galleria"]))
  })

  it("continues the caller's trace, from the request over both modules to the events of their reactions", () => {
    const request = one("POST /orders")
    expect(request).toMatchObject({ kind: "server", parentSpanId: caller.span, failed: false })
    const sent = one("publish order_created")
    expect(sent.kind).toBe("producer")
    expect(isWithin(sent, request)).toBe(true)

    const consumed = one("process order_created", { "galleria.reaction": "user.record-order" })
    const started = one("process order_created", { "galleria.reaction": "order.start" })
    for (const reaction of [consumed, started]) {
      expect(reaction).toMatchObject({ kind: "consumer", parentSpanId: sent.parentSpanId, links: [], failed: false })
    }
    expect(isWithin(one("publish user_order_summary_updated", {}), consumed)).toBe(true)
    const processed = one("publish order_processed")
    expect(isWithin(processed, started)).toBe(true)
    expect(one("process order_processed")).toMatchObject({ parentSpanId: processed.parentSpanId })
  })

  it("uses the names of the semantic conventions", () => {
    expect(one("POST /orders").attributes).toEqual({
      "http.request.method": "POST",
      "url.scheme": "http",
      "url.path": "/orders",
      "http.route": "/orders",
      "http.response.status_code": 201,
    })
    const { "messaging.message.id": id, ...others } = one("publish order_created").attributes
    expect(id).toMatch(/^[0-9a-f-]{36}$/u)
    expect(others).toEqual({
      "messaging.system": "galleria",
      "messaging.destination.name": "order_created",
      "messaging.operation.name": "publish",
      "messaging.operation.type": "send",
    })
    expect(one("process order_created", { "galleria.reaction": "order.start" }).attributes).toEqual({
      "messaging.system": "galleria",
      "messaging.destination.name": "order_created",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.message.id": id,
      "messaging.consumer.group.name": "order_service_group",
      "galleria.reaction": "order.start",
    })
  })

  it("shows the statements of requests and reactions without values", () => {
    const within = (outer: Span, module: string) =>
      spans.filter(
        (span) => span.kind === "client" && span.attributes["db.namespace"] === module && isWithin(span, outer),
      )
    const placing = within(one("POST /orders"), "order")
    expect(placing.map(({ attributes }) => attributes["db.query.text"])).toContainEqual(
      expect.stringMatching(/insert into orders/u),
    )
    expect(within(one("process order_created", { "galleria.reaction": "user.record-order" }), "user")).not.toEqual([])
    expect(new Set(placing.map(({ attributes }) => attributes["db.system.name"]))).toEqual(new Set(["postgresql"]))
  })

  it("reports bad input without its content, and only the ids of a path", () => {
    const status = (name: string) => named(spans, name).map(({ attributes }) => attributes["http.response.status_code"])
    expect(status("POST /orders")).toContain(422)
    expect(status("POST /users")).toEqual(expect.arrayContaining([201, 409]))
    expect(named(spans, "GET /users/{id}")).toMatchObject([
      { attributes: { "url.path": "/users/{id}" }, failed: false },
    ])
    expect(named(spans, "GET /orders/{id}")).toMatchObject([{ attributes: { "url.path": "/orders/1" } }])
    expect(named(spans, "GET")).toMatchObject([
      { attributes: { "url.path": "/*", "http.response.status_code": 404 }, failed: false },
    ])
  })

  it("traces only requests and their consequences, and nothing that its caller does not trace", () => {
    const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined)
    expect(new Set(roots.map(({ kind }) => kind))).toEqual(new Set(["server"]))
    expect(named(ofTheOrder(), "POST /orders")).toHaveLength(1)
  })

  it("exports current metrics by the names that dashboards use", () => {
    const names = metrics.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(["galleria_outbox_pending", "galleria_outbox_published_total"]))
    const durations = metrics.find(({ name }) => name === "http.server.request.duration")
    expect(durations?.unit).toBe("s")
    expect(durations?.points).toContainEqual({
      attributes: {
        "http.request.method": "POST",
        "http.route": "/orders",
        "http.response.status_code": 201,
      },
      count: 2,
    })
  })

  it("exports no personal data, product, amount or secret", () => {
    expect(collector.text().length).toBeGreaterThan(10_000)
    expect(collector.text()).not.toMatch(secrets)
    expect(output).not.toMatch(secrets)
  })

  it("is named in the log: lines of reactions have the caller's trace id", () => {
    const lines = output.split("\n").filter((line) => line.includes("order_created event"))
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { trace_id: caller.trace, span_id: expect.stringMatching(/^[0-9a-f]{16}$/u) },
      { trace_id: caller.trace },
      { trace_id: caller.trace },
      { trace_id: caller.trace },
    ])
  })
})

describe("A span that failed", () => {
  it("has the type of its error, but neither message nor stack trace", async () => {
    await using collector = await collect()
    const failing = (error: Error) =>
      traced({ name: error.name, kind: "server", causes: [], attributes: {} }, () => Effect.fail(error)).pipe(
        Effect.exit,
      )
    class CardDeclined extends Error {
      override name = "CardDeclined"
    }
    const wrapped = new CardDeclined("for jane@example.org", { cause: new Error("of 123.45 to Jane") })
    await Effect.all([failing(new TypeError("Augusta bought for 123.45")), failing(wrapped)]).pipe(
      Effect.provide(otlp.layer({ endpoint: collector.endpoint, serviceName: "galleria" })),
      Effect.runPromise,
    )
    expect(collector.spans()).toMatchObject(
      ["TypeError", "CardDeclined"].map((name) => ({ name, failed: true, attributes: { "error.type": name } })),
    )
    expect(collector.text()).not.toMatch(secrets)
    expect(collector.text()).not.toMatch(/otlp\.test\.ts/u)
  })
})

describe("A collector", () => {
  const placed = async (galleria: Galleria, count: number) => {
    for (let n = 0; n < count; n++) {
      expect((await galleria.call("POST", "/orders", { user_id: 1, amount: "1" })).status).toBe(201)
    }
  }
  const said = (galleria: Galleria) =>
    galleria.records
      .filter(({ message }) => message.startsWith("Telemetry"))
      .map(({ level, message }) => [level, message])
  const stopsSoon = async (galleria: Galleria) => {
    const began = Date.now()
    expect(await galleria.stop()).toEqual({ code: 0, signal: null })
    expect(Date.now() - began).toBeLessThan(6_000)
  }

  it("that is unavailable costs one log line for each signal, and delays neither requests nor the stop", async () => {
    using copy = temporaryFolder(prepared.path)
    const collector = await collect()
    const { endpoint } = collector
    await collector[Symbol.asyncDispose]()
    await using galleria = await withOtlp(endpoint, copy.path)
    await placed(galleria, 20)
    await until("it is noticed", () => said(galleria).length > 0)
    await placed(galleria, 20)
    await stopsSoon(galleria)
    const lost = (signal: string) =>
      `Telemetry cannot be sent to ${endpoint}/v1/${signal} (no answer) and is dropped meanwhile`
    expect(said(galleria)).toHaveLength(2)
    expect(said(galleria)).toEqual(
      expect.arrayContaining([
        ["warn", lost("metrics")],
        ["warn", lost("traces")],
      ]),
    )
  })

  it("that never answers delays neither requests nor the stop, and one that refuses is logged once", async () => {
    using copy = temporaryFolder(prepared.path)
    await using collector = await collect()
    collector.answer = "never"
    {
      await using galleria = await withOtlp(collector.endpoint, copy.path)
      await placed(galleria, 20)
      await until("it was asked", () => collector.requests.length > 0)
      await placed(galleria, 20)
      await stopsSoon(galleria)
    }
    collector.answer = 400
    await using galleria = await withOtlp(collector.endpoint, copy.path)
    await placed(galleria, 20)
    await until("it is noticed", () => said(galleria).length > 0)
    await stopsSoon(galleria)
    expect(said(galleria)).toContainEqual([
      "warn",
      `Telemetry cannot be sent to ${collector.endpoint}/v1/traces (it was answered 400) and is dropped meanwhile`,
    ])
    expect(said(galleria).length).toBeLessThanOrEqual(2)
  })

  it("that fails for a moment is logged, and again when it is back", async () => {
    using copy = temporaryFolder(prepared.path)
    await using collector = await collect()
    collector.answer = 503
    await using galleria = await withOtlp(collector.endpoint, copy.path)
    await placed(galleria, 1)
    await until("it is noticed", () => said(galleria).length > 0)
    collector.answer = 200
    await until("it is back", () => said(galleria).some(([level]) => level === "info"))
    expect(said(galleria)).toContainEqual(["info", `Telemetry is sent to ${collector.endpoint}/v1/traces again`])
  })
})

describe("The settings of OTLP", () => {
  const read = (env: Readonly<Record<string, string>>) => Effect.runPromise(readSettings({ env, named: [], known: {} }))

  it("are off unless an endpoint is set, and name the service galleria by default", async () => {
    const endpoint = "https://collector.internal:4318/otlp"
    expect((await read({ OTEL_SERVICE_NAME: "shop" })).otlp).toBeUndefined()
    expect((await read({ OTEL_EXPORTER_OTLP_ENDPOINT: "" })).otlp).toBeUndefined()
    expect((await read({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })).otlp).toEqual({ endpoint, serviceName: "galleria" })
    const named = await read({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: "shop" })
    expect(named.otlp).toEqual({ endpoint, serviceName: "shop" })
  })

  it.each([
    "collector",
    "collector:4318",
    "localhost:4318",
    "grpc://localhost:4317",
    "http://",
    "http://:hush@localhost",
  ])("reject the endpoint %s", async (endpoint) => {
    const fault = await read({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }).catch((error: Error) => error.message)
    expect(fault).toMatch(/^Galleria does not start, for a setting is wrong:\n {2}OTEL_EXPORTER_OTLP_ENDPOINT: \S/u)
    expect(fault).not.toContain("hush")
  })
})

describe("Without a collector", () => {
  it("continues the caller's trace in events and in the log", async () => {
    using copy = temporaryFolder(prepared.path)
    await using galleria = await start({ modules: spine, dataDir: copy.path, env: patient })
    const trace = "0af7651916cd43dd8448eb211c80319c"
    const order = { user_id: 1, amount: "1" }
    const traces = (type: string) =>
      galleria.records.filter(({ message }) => message.includes(` ${type} event`)).map((record) => record["trace_id"])
    // One after the other: what is done for two orders at once belongs to neither's trace.
    await galleria.call("POST", "/orders", order, { traceparent: `00-${trace}-${caller.span}-01` })
    await until("the first is sent", () => traces("order_processed").length === 1)
    await galleria.call("POST", "/orders", order, { traceparent: "00-nonsense\u00e9-01" })
    await until(
      "everything is sent",
      () => traces("order_processed").length === 2 && traces("order_created").length === 4,
    )
    expect(traces("order_created").filter((id) => id === trace)).toHaveLength(2)
    expect(traces("order_processed").filter((id) => id === trace)).toHaveLength(1)
    const other = traces("order_processed").find((id) => id !== trace)
    expect(other).toMatch(/^[0-9a-f]{32}$/u)
    expect(traces("order_created").filter((id) => id === other)).toHaveLength(2)
  })
})
