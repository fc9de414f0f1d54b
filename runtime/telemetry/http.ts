import { Cause, Clock, Effect, Exit, References, type Tracer } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { duration } from "./metrics.ts"
import { type Place, placeOf, traced, type TracedWork } from "./trace.ts"

/** A declared path, such as `/orders/:id` or `/orders/{id}`, and a pattern that matches the paths of requests. */
export interface Template {
  readonly path: string
  readonly test: RegExp
  /** The module that owns the route. */
  readonly module: string
}

/** The known methods; all others are reported as one, by the semantic conventions for HTTP. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])

/** The status of a request whose client disconnected before its answer, as in nginx. */
const clientGone = 499

/**
 * Observes every request: records its duration by route, and makes a span that continues the caller's `traceparent` or
 * begins a trace. The span has only the ids of the path, because the rest may be arbitrary text. Log lines during the
 * request name the module that owns the route.
 *
 * Register it before all other middleware of the router, so that it sees answers as they are sent.
 */
export const observeRequests = (templates: ReadonlyArray<Template>) =>
  Effect.flatMap(HttpRouter.HttpRouter, (router) => {
    const find = finder(templates)
    return router.addGlobalMiddleware((answer) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const began = performance.now()
        const path = request.url.split("?", 1)[0]!
        const found = find(path)
        const seen = { method: methodOf(request), route: found?.path }
        const named =
          found === undefined
            ? answer
            : Effect.provideService(answer, References.CurrentLogAnnotations, found.annotations)
        return traced(new Answering(seen, path, placeOf(request.headers["traceparent"])), (span) =>
          Effect.onExit(named, (exit) => record(seen, span, began, statusOf(exit))),
        )
      }),
    )
  })

interface Seen {
  readonly method: string
  readonly route: string | undefined
}

const methodOf = ({ method }: HttpServerRequest.HttpServerRequest) => (methods.has(method) ? method : "_OTHER")

/** The span of a request, by the semantic conventions for HTTP servers. */
class Answering implements TracedWork {
  readonly kind = "server"
  readonly causes: ReadonlyArray<Place>
  readonly #seen: Seen
  readonly #path: string

  constructor(seen: Seen, path: string, caller: Place | undefined) {
    this.#seen = seen
    this.#path = path
    this.causes = caller === undefined ? [] : [caller]
  }

  get name() {
    const { method, route } = this.#seen
    const name = method === "_OTHER" ? "HTTP" : method
    return route === undefined ? name : `${name} ${route}`
  }

  get attributes() {
    const { method, route } = this.#seen
    return { "http.request.method": method, "url.scheme": "http", "url.path": pathShown(this.#path, route) }
  }
}

const record = ({ method, route }: Seen, span: Tracer.Span | undefined, began: number, status: number) =>
  Effect.withFiber((fiber) => {
    duration(method, route, status).updateUnsafe((performance.now() - began) / 1_000, fiber.context)
    if (span === undefined) return Effect.void
    if (route !== undefined) span.attribute("http.route", route)
    span.attribute("http.response.status_code", status)
    if (status >= 500) {
      span.attribute("error.type", String(status))
      span.end(fiber.getRef(Clock.Clock).currentTimeNanosUnsafe(), Exit.fail(undefined))
    }
    return Effect.void
  })

/** Counts requests that were rejected before any work. */
export const turnedAway = (count: number) =>
  Effect.withFiber((fiber) => {
    for (let n = 0; n < count; n++) duration("_OTHER", undefined, 503).updateUnsafe(0, fiber.context)
    return Effect.void
  })

const statusOf = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>) =>
  Exit.isSuccess(exit) ? exit.value.status : Cause.hasInterruptsOnly(exit.cause) ? clientGone : 500

const finder = (declared: ReadonlyArray<Template>) => {
  const templates = declared.map(({ path, test, module }) => ({
    path: path.replaceAll(/:(\w+)/gu, "{$1}"),
    test,
    annotations: { module },
  }))
  const fixed = new Map(
    templates.flatMap((template) => (template.path.includes("{") ? [] : [[template.path, template]])),
  )
  const others = templates.filter(({ path }) => path.includes("{"))
  return (path: string) =>
    fixed.get(path) ?? (path.endsWith("/") ? templates : others).find(({ test }) => test.test(path))
}

const isId = /^(?:\d{1,16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/iu

/** The path for display: ids are shown, other parameters are shown by name, and an unknown path is not shown. */
export const pathShown = (path: string, template: string | undefined): string => {
  if (template === undefined) return "/*"
  const segments = path.split("/")
  return template
    .split("/")
    .map((part, n) => (part.startsWith("{") && isId.test(segments[n] ?? "") ? segments[n] : part))
    .join("/")
}
