import { Cause, Effect, Exit } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { duration } from "./metrics.ts"
import { placeOf, traced } from "./trace.ts"

/** A path as it is declared, as `/orders/{id}`, and a test for a request's. */
export interface Template {
  readonly path: string
  readonly test: RegExp
}

/** Methods that are told apart; whatever else a client invents is one (semantic conventions for HTTP). */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])

/** Of a request whose client left before its answer; as nginx says it, for there is no status. */
const clientGone = 499

/**
 * Watches every request: how long its answer took, by route, and a span that continues the caller's `traceparent`, or
 * begins a trace. Of the path only what identifies things is told; strangers may have written anything there.
 *
 * Is to be registered before all other middleware of the router, so that it sees answers as they are sent.
 */
export const observeRequests = (templates: ReadonlyArray<Template>) =>
  Effect.flatMap(HttpRouter.HttpRouter, (router) => {
    const templateOf = finder(templates)
    return router.addGlobalMiddleware((answer) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const began = performance.now()
        const path = request.url.split("?", 1)[0]!
        const template = templateOf(path)
        const method = methods.has(request.method) ? request.method : "_OTHER"
        const caller = placeOf(request.headers["traceparent"])
        const work = {
          name: `${method === "_OTHER" ? "HTTP" : method}${template === undefined ? "" : ` ${template}`}`,
          kind: "server" as const,
          causes: caller === undefined ? [] : [caller],
          attributes: {
            "http.request.method": method,
            "url.scheme": "http",
            "url.path": pathShown(path, template),
            ...(template === undefined ? {} : { "http.route": template }),
          },
        }
        return traced(work, (span) =>
          Effect.onExit(answer, (exit) =>
            Effect.clockWith((clock) =>
              Effect.withFiber((fiber) => {
                const status = statusOf(exit)
                duration(method, template, status).updateUnsafe((performance.now() - began) / 1_000, fiber.context)
                if (span === undefined) return Effect.void
                if (template !== undefined) span.attribute("http.route", template)
                span.attribute("http.response.status_code", status)
                if (status >= 500) {
                  span.attribute("error.type", String(status))
                  span.end(clock.currentTimeNanosUnsafe(), Exit.fail(undefined))
                }
                return Effect.void
              }),
            ),
          ),
        )
      }),
    )
  })

const statusOf = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>) =>
  Exit.isSuccess(exit) ? exit.value.status : Cause.hasInterruptsOnly(exit.cause) ? clientGone : 500

const finder = (templates: ReadonlyArray<Template>) => {
  const fixed = new Set(templates.flatMap(({ path }) => (path.includes("{") ? [] : [path])))
  const others = templates.filter(({ path }) => path.includes("{"))
  return (path: string): string | undefined => {
    if (fixed.has(path)) return path
    return (path.endsWith("/") ? templates : others).find(({ test }) => test.test(path))?.path
  }
}

const isId = /^(?:\d{1,16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/iu

/** The path with ids in the place of parameters; what is no id stays a parameter, and an unknown path is not shown. */
export const pathShown = (path: string, template: string | undefined): string => {
  if (template === undefined) return "/*"
  const segments = path.split("/")
  return template
    .split("/")
    .map((part, n) => (part.startsWith("{") && isId.test(segments[n] ?? "") ? segments[n] : part))
    .join("/")
}
