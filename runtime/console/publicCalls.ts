import { Effect } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"
import { type Access, rejection } from "../http/Admin.ts"
import { unlessSame } from "../http/etag.ts"
import { Kinds, responseOf } from "../http/Problem.ts"

const prefix = "/console/api"

/** A segment that is an id, and nothing that a URL parser resolves, such as `..`. */
const id = "(?!(?:\\.|%2e){1,2}(?:/|$))[\\w.%~-]+"
const path = (text: string) => new RegExp(`^${text.replaceAll(":id", id)}$`, "iu")

/** The public calls that the page makes. Other calls of the modules are not forwarded. */
const forwarded: ReadonlyArray<readonly [methods: ReadonlyArray<string>, path: RegExp]> = [
  [["GET", "POST"], path("/users")],
  [["GET"], path("/users/:id(?:/orders|/order-summary)?")],
  [["GET", "POST"], path("/orders")],
  [["GET"], path("/orders/:id(?:/history)?")],
  [["POST"], path("/orders/:id/cancel")],
  [["GET"], path("/payments(?:/:id)?")],
  [["GET"], path("/inventory")],
  [["GET", "PUT"], path("/inventory/:id")],
  [["GET"], path("/notifications")],
]

/** The address of a module's call within `/console/api`, with its query; undefined when it is not forwarded. */
export const forwardedTo = (method: string, url: string): string | undefined => {
  const [own = "", ...query] = url.split("?")
  const target = own.slice(prefix.length)
  const isForwarded = forwarded.some(([methods, path]) => methods.includes(method) && path.test(target))
  return isForwarded ? [target, ...query].join("?") : undefined
}

type Forward = (
  request: HttpServerRequest.HttpServerRequest,
  url: string,
) => Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, HttpServerRequest.HttpServerRequest>

/**
 * Adds `/console/api`, by which the page makes the modules' public calls: at its own origin and by the same access as
 * `/admin`. `forward` makes a call.
 */
export const addPublicCalls = (options: { readonly access: Access; readonly forward: Forward }) =>
  Effect.gen(function* () {
    const router = yield* HttpRouter.HttpRouter
    const call = Effect.gen(function* () {
      const verdict = yield* options.access.judge
      if ("rejected" in verdict) return rejection(verdict.rejected)
      const request = yield* HttpServerRequest.HttpServerRequest
      const url = forwardedTo(request.method, request.url)
      return url === undefined
        ? responseOf(Kinds.notFound)
        : yield* unlessSame(Effect.orDie(options.forward(request, url)))
    })
    for (const method of ["GET", "POST", "PUT"] as const) yield* router.add(method, `${prefix}/*`, call)
  })

/** Makes the calls by the routes of this process. */
export const toOwnRoutes: Effect.Effect<Forward, never, HttpRouter.HttpRouter> = Effect.map(
  HttpRouter.HttpRouter,
  (router) => {
    let routes: ReturnType<typeof router.asHttpEffect> | undefined
    return (request, url) =>
      Effect.scoped(
        Effect.provideService(
          (routes ??= router.asHttpEffect()),
          HttpServerRequest.HttpServerRequest,
          request.modify({ url }),
        ),
      )
  },
)
