import { expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, Option, Tracer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { describe } from "vitest"
import { observeRequests, pathShown } from "./http.ts"
import { lineOf } from "./logs.ts"

const templates = [{ path: "/orders/:id", test: /^\/orders\/[^/]+\/?$/u, module: "order" }]

/** The span of a request with this answer, and the lines logged meanwhile. */
const observed = (
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse>,
  { path = "/orders/7?name=jane", headers = {} }: { path?: string; headers?: Record<string, string> } = {},
) =>
  Effect.gen(function* () {
    const spans: Array<Tracer.NativeSpan> = []
    const lines: Array<string> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      },
    })
    const logger = Logger.make((options) => void lines.push(lineOf("json", options)))
    const router = yield* HttpRouter.HttpRouter
    yield* observeRequests(templates)
    yield* router.add("GET", "/orders/:id", Effect.andThen(Effect.logInfo("asked"), answer))
    const request = HttpServerRequest.fromWeb(new Request(`http://localhost${path}`, { headers }))
    yield* Effect.exit(router.asHttpEffect()).pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, request),
      Effect.provideService(Tracer.Tracer, tracer),
      Effect.provide(Logger.layer([logger])),
    )
    const [span] = spans
    expect(spans).toHaveLength(1)
    const { status } = span!
    return {
      name: span!.name,
      parent: Option.getOrUndefined(Option.map(span!.parent, ({ spanId }) => spanId)),
      attributes: Object.fromEntries(span!.attributes),
      failed: status._tag === "Ended" && Exit.isFailure(status.exit) && !Cause.hasInterrupts(status.exit.cause),
      ended: status._tag === "Ended",
      lines: lines.map((line) => JSON.parse(line)),
      traceId: span!.traceId,
    }
  }).pipe(Effect.provide(HttpRouter.layer), Effect.scoped)

const answered = (status: number) => Effect.succeed(HttpServerResponse.empty({ status }))

describe("The span of a request", () => {
  it.effect("fails only for 5xx answers", () =>
    Effect.gen(function* () {
      for (const [status, failed] of [
        [200, false],
        [404, false],
        [422, false],
        [500, true],
        [503, true],
      ] as const) {
        const span = yield* observed(answered(status))
        expect(span).toMatchObject({ ended: true, failed, attributes: { "http.response.status_code": status } })
        expect(span.attributes["error.type"]).toBe(failed ? String(status) : undefined)
      }
      expect(yield* observed(Effect.die("broken"))).toMatchObject({
        failed: true,
        attributes: { "http.response.status_code": 500, "error.type": "500" },
      })
      expect(yield* observed(Effect.interrupt)).toMatchObject({
        ended: true,
        failed: false,
        attributes: { "http.response.status_code": 499 },
      })
    }),
  )

  it.effect("continues the caller's trace, and begins one when the traceparent is invalid", () =>
    Effect.gen(function* () {
      const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`
      const span = yield* observed(answered(200), {
        headers: { traceparent, b3: `${"c".repeat(32)}-${"d".repeat(16)}-1` },
      })
      expect(span).toMatchObject({ name: "GET /orders/{id}", parent: "b".repeat(16), traceId: "a".repeat(32) })
      const other = yield* observed(answered(200), { headers: { traceparent: `${traceparent}, ${traceparent}` } })
      expect(other.parent).toBeUndefined()
    }),
  )

  it.effect("is named by lines that are logged meanwhile, with the module that owns the route", () =>
    Effect.gen(function* () {
      const { lines, traceId } = yield* observed(answered(200))
      expect(lines).toMatchObject([{ message: "asked", module: "order", trace_id: traceId }])
    }),
  )

  it.effect("has the route, and the ids of the path", () =>
    Effect.gen(function* () {
      expect((yield* observed(answered(200))).attributes).toMatchObject({
        "http.route": "/orders/{id}",
        "url.path": "/orders/7",
      })
      const unknown = yield* observed(answered(200), { path: "/jane/7" })
      expect(unknown).toMatchObject({ name: "GET", attributes: { "url.path": "/*" } })
      expect(unknown.attributes).not.toHaveProperty("http.route")
    }),
  )
})

describe("The path in a span", () => {
  it.each([
    ["/users/7/orders", "/users/{id}/orders", "/users/7/orders"],
    ["/users/7/", "/users/{id}", "/users/7"],
    ["/users/jane@example.org", "/users/{id}", "/users/{id}"],
    ["/users/12345678901234567", "/users/{id}", "/users/{id}"],
    ["/users/%0a1", "/users/{id}", "/users/{id}"],
    [
      "/admin/dead-letters/01a1fecf-5f6f-771b-8c7d-d941fd21f23f",
      "/admin/dead-letters/{id}",
      "/admin/dead-letters/01a1fecf-5f6f-771b-8c7d-d941fd21f23f",
    ],
    ["/search/jane", undefined, "/*"],
  ])("%s of %s is %s", (path, template, shown) => {
    expect(pathShown(path, template)).toBe(shown)
  })
})
