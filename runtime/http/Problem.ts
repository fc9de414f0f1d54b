import { Effect, Schema } from "effect"
import { HttpServerResponse, ProblemDetails } from "effect/http"
import { HttpApiError, HttpApiMiddleware } from "effect/http-api"

/** A type of problem, as `/problems/<slug>` explains it. */
export interface Kind {
  readonly slug: string
  readonly status: number
  readonly title: string
  readonly detail: string
}

const kinds = new Map<string, Kind>()

/** Every type of problem of this process, in order of the slugs. */
export const catalogue = (): ReadonlyArray<Kind> => [...kinds.values()].sort((a, b) => (a.slug < b.slug ? -1 : 1))

/** Several contracts may declare one type, with equal members. */
const register = <const K extends Kind>(kind: K): K => {
  const known = kinds.get(kind.slug)
  const differs = known && (["status", "title", "detail"] as const).filter((member) => known[member] !== kind[member])
  if (differs !== undefined && differs.length > 0) {
    const shown = ({ status, title, detail }: Kind) => JSON.stringify({ status, title, detail })
    throw new Error(
      `the problem ${kind.slug} is declared twice, with another ${differs.join(" and ")}: ${shown(known!)} and ${shown(kind)}`,
    )
  }
  kinds.set(kind.slug, kind)
  return kind
}

/**
 * Declares a problem (RFC 9457) as an error of endpoints: `type` is `/problems/<slug>`, `detail` the default of the member
 * of that name, `fields` are further members.
 */
export const declare =
  <Self>() =>
  <
    const Tag extends string,
    const Slug extends string,
    const Status extends number,
    const Fields extends HttpApiError.ProblemExtensionFields = {},
  >(
    tag: Tag,
    kind: { readonly slug: Slug; readonly status: Status; readonly title: string; readonly detail: string },
    fields?: Fields,
  ) => {
    register(kind)
    const detail = Schema.String.annotate({ examples: [kind.detail] }).pipe(
      Schema.withConstructorDefault(Effect.succeed(kind.detail)),
    )
    const type: `/problems/${Slug}` = `/problems/${kind.slug}`
    return HttpApiError.Problem<Self>()(tag, { type, status: kind.status, title: kind.title }, {
      detail,
      ...fields,
    } as Fields & { readonly detail: typeof detail })
  }

/** A fault of one value of a request: a pointer (RFC 6901) into the body, or the name of a query parameter. */
export const InputFault = Schema.Union([
  Schema.Struct({
    pointer: Schema.String.annotate({
      description: "JSON pointer (RFC 6901) into the body; empty for the whole body.",
      examples: ["/items/0/price"],
    }),
    detail: Schema.String.annotate({ examples: ["expected 1 or more"] }),
  }),
  Schema.Struct({
    parameter: Schema.String.annotate({ description: "The name of the query parameter." }),
    detail: Schema.String,
  }),
]).annotate({ identifier: "Fault", description: "What is wrong with one value of the request." })

/** Problems of the router and the server, which endpoints need not declare. */
export const Kinds = {
  badRequest: register({
    slug: "bad-request",
    status: 400,
    title: "Bad request",
    detail: "The request is not valid HTTP.",
  }),
  unauthorized: register({
    slug: "unauthorized",
    status: 401,
    title: "Unauthorized",
    detail: "Send `Authorization: Bearer` with the token in ADMIN_TOKEN.",
  }),
  forbidden: register({
    slug: "forbidden",
    status: 403,
    title: "Forbidden",
    detail:
      "While ADMIN_TOKEN is unset, only direct requests from a loopback address of this machine are allowed; a session of the console only works from its own pages.",
  }),
  tooManyRequests: register({
    slug: "too-many-requests",
    status: 429,
    title: "Too many requests",
    detail: "Too many wrong tokens; try again after `Retry-After` seconds.",
  }),
  notFound: register({
    slug: "not-found",
    status: 404,
    title: "Not found",
    detail: "There is no resource at this path.",
  }),
  methodNotAllowed: register({
    slug: "method-not-allowed",
    status: 405,
    title: "Method not allowed",
    detail: "The method is not allowed for this path; `Allow` lists the allowed methods.",
  }),
  requestTimeout: register({
    slug: "request-timeout",
    status: 408,
    title: "Request timeout",
    detail: "The request did not arrive in time.",
  }),
  contentTooLarge: register({
    slug: "content-too-large",
    status: 413,
    title: "Content too large",
    detail: "A body may have at most 1 MiB.",
  }),
  unsupportedMediaType: register({
    slug: "unsupported-media-type",
    status: 415,
    title: "Unsupported media type",
    detail: "The body must be `application/json` without Content-Encoding.",
  }),
  headersTooLarge: register({
    slug: "headers-too-large",
    status: 431,
    title: "Request header fields too large",
    detail: "The headers may have at most 16 KiB.",
  }),
  internal: register({
    slug: "internal",
    status: 500,
    title: "Internal error",
    detail: "Unexpected server error; it has been logged.",
  }),
  unavailable: register({
    slug: "unavailable",
    status: 503,
    title: "Unavailable",
    detail: "The service is temporarily unavailable; try again after `Retry-After` seconds.",
  }),
}

export class MalformedJson extends declare<MalformedJson>()("MalformedJson", {
  slug: "malformed-json",
  status: 400,
  title: "Malformed JSON",
  detail: "The body is not JSON in UTF-8.",
}) {}

export class ValidationFailed extends declare<ValidationFailed>()(
  "ValidationFailed",
  {
    slug: "validation-failed",
    status: 422,
    title: "Validation failed",
    detail: "Some values of the request are invalid; `errors` lists each of them.",
  },
  { errors: Schema.Array(InputFault) },
) {}

/** As a defect, it makes any request be answered 503 with `Retry-After`. */
export class Unavailable extends declare<Unavailable>()("Unavailable", Kinds.unavailable) {}

export class NotFound extends declare<NotFound>()("NotFound", Kinds.notFound) {}

export const problemOf = (kind: Kind) => ({
  type: `/problems/${kind.slug}`,
  title: kind.title,
  status: kind.status,
  detail: kind.detail,
})

export const responseOf = (kind: Kind, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.setHeaders(ProblemDetails.toResponse(problemOf(kind)), headers)

/**
 * The middleware of every group of endpoints, `group.middleware(Edge)`: answers invalid input with a problem that lists every
 * fault, and rejects requests other than GET while the module's database is not writable.
 */
export class Edge extends HttpApiMiddleware.Service<Edge>()("galleria/Edge", {
  error: [MalformedJson, ValidationFailed, NotFound],
}) {}
