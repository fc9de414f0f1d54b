import { Cause, Effect } from "effect"
import { HttpRouter, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { faultOf } from "../../sql/fault.ts"
import { ofRequest, Patience } from "../../sql/patience.ts"
import { endpoints, serveAt } from "../openapi/operations.ts"
import { catalogue, type Kind, Kinds, problemOf, responseOf, Unavailable } from "../Problem.ts"

/** Seconds after which a client may retry. */
const retryAfter = { "retry-after": "1" }

interface Route {
  readonly test: RegExp
  readonly methods: ReadonlyArray<string>
}

/** The answer to a request that may not know whether its path exists; undefined: it may. */
type Refusal = Effect.Effect<
  HttpServerResponse.HttpServerResponse | undefined,
  never,
  HttpServerRequest.HttpServerRequest
>

/**
 * Answers with a problem (RFC 9457) what endpoints do not declare: unknown paths and methods, an unavailable database, and
 * defects. An unknown path or method is answered by `refusal` first.
 */
export const problemsEverywhere = (routes: ReadonlyArray<Route>, refusal: Refusal = Effect.succeed(undefined)) =>
  Effect.flatMap(HttpRouter.HttpRouter, (router) =>
    router.addGlobalMiddleware((answer) =>
      Effect.matchCauseEffect(Effect.provideServiceEffect(answer, Patience, Effect.sync(ofRequest)), {
        onSuccess: (response) =>
          Effect.succeed(response.status === 415 ? responseOf(Kinds.unsupportedMediaType) : response),
        onFailure: (cause) =>
          isClientGone(cause)
            ? Effect.failCause(cause)
            : Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
                isUnknown(cause)
                  ? Effect.map(refusal, (refused) => refused ?? answerToUnknown(request, routes))
                  : answerTo(cause, request),
              ),
      }),
    ),
  )

const answerTo = (
  cause: Cause.Cause<unknown>,
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  // The process is stopping, and the request took longer than a stop may take.
  if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(responseOf(Kinds.unavailable, retryAfter))
  if (Cause.squash(cause) instanceof Unavailable) return Effect.succeed(responseOf(Kinds.unavailable, retryAfter))
  if (faultOf(cause) !== "event") {
    return Effect.as(
      Effect.logWarning(`${request.method} could not be answered: the database is unavailable`, cause),
      responseOf(Kinds.unavailable, retryAfter),
    )
  }
  return Effect.as(Effect.logError(`${request.method} ${pathOf(request)} failed`, cause), responseOf(Kinds.internal))
}

const isClientGone = (cause: Cause.Cause<unknown>) =>
  Cause.hasInterruptsOnly(cause) &&
  cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))

const isUnknown = (cause: Cause.Cause<unknown>) => httpErrorIn(cause)?.reason._tag === "RouteNotFound"

const answerToUnknown = (request: HttpServerRequest.HttpServerRequest, routes: ReadonlyArray<Route>) => {
  const path = pathOf(request)
  const methods = new Set(routes.filter(({ test }) => test.test(path)).flatMap((route) => route.methods))
  if (methods.has("GET")) methods.add("HEAD")
  // The path has this method, and yet no route: a parameter in it cannot be decoded, or is too long.
  if (methods.size === 0 || methods.has(request.method)) return responseOf(Kinds.notFound)
  const allow = { allow: [...methods, "OPTIONS"].join(", ") }
  return request.method === "OPTIONS"
    ? HttpServerResponse.empty({ status: 204, headers: allow })
    : responseOf(Kinds.methodNotAllowed, allow)
}

const pathOf = (request: HttpServerRequest.HttpServerRequest) => request.url.split("?")[0]!

const httpErrorIn = (cause: Cause.Cause<unknown>) =>
  cause.reasons
    .map((reason) =>
      Cause.isDieReason(reason) ? reason.defect : Cause.isFailReason(reason) ? reason.error : undefined,
    )
    .find(HttpServerError.isHttpServerError)

/** `GET /problems` lists the types of problem, `GET /problems/:slug` has one: as HTML where the client accepts it, else JSON. */
export const explained = Effect.gen(function* () {
  yield* serveAt(
    endpoints.problems,
    Effect.map(wantsPage, (page) =>
      page
        ? pageOf("Problems", catalogue().map(entry).join("\n"))
        : HttpServerResponse.jsonUnsafe({ items: catalogue().map(problemOf) }, { headers: varying }),
    ),
  )
  yield* serveAt(
    endpoints.problem,
    Effect.gen(function* () {
      const { slug } = yield* HttpRouter.params
      const kind = catalogue().find((kind) => kind.slug === slug)
      if (kind === undefined) return responseOf(Kinds.notFound)
      return (yield* wantsPage)
        ? pageOf(kind.title, `${entry(kind)}\n<p><a href="/problems">All problems</a></p>`)
        : HttpServerResponse.jsonUnsafe(problemOf(kind), { headers: varying })
    }),
  )
})

const varying = { vary: "accept" }

/** Browsers accept HTML and not JSON; programs accept JSON, or send no `Accept`. */
const wantsPage = Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) => {
  const accept = headers["accept"] ?? ""
  return accept.includes("text/html") && !accept.includes("json")
})

const entry = ({ slug, status, title, detail }: Kind) =>
  `<h2><a href="/problems/${slug}">${slug}</a></h2>
<p>${status} ${html(title)}. ${html(detail).replaceAll(/`([^`]+)`/gu, "<code>$1</code>")}</p>`

const html = (text: string) => text.replaceAll(/[&<>"']/gu, (character) => `&#${character.codePointAt(0)};`)

const pageOf = (title: string, content: string) =>
  HttpServerResponse.text(
    `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${html(title)}</title>
<body style="font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem">
<h1>${html(title)}</h1>
${content}
`,
    { contentType: "text/html; charset=utf-8", headers: varying },
  )
