import { Effect, Schema } from "effect"
import { HttpRouter, type HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { declare, Kinds, NotFound } from "../Problem.ts"

const checks = Schema.Record(Schema.String, Schema.String).annotate({
  description: "By what is looked at: `ok`, or what is wrong with it.",
  examples: [{ "database.order": "ok", events: "ok" }],
})

class NotReady extends declare<NotReady>()("NotReady", Kinds.unavailable, {
  state: Schema.Literals(["starting", "stopping", "unavailable"]),
  checks,
}) {}

const Explained = Schema.Struct({
  type: Schema.String.annotate({ examples: ["/problems/validation-failed"] }),
  title: Schema.String.annotate({ examples: ["Validation failed"] }),
  status: Schema.Int.check(Schema.isBetween({ minimum: 400, maximum: 599 })).annotate({ examples: [422] }),
  detail: Schema.String.annotate({ examples: ["Some values of the request are not what they must be."] }),
}).annotate({ identifier: "Explained", description: "What a type of problem means." })

const html = Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html" }))
const unlessAsJson = "A page for whom accepts HTML and not JSON."

/** What is kept by whoever asked before, and not sent again while it is the same. */
const kept = {
  "if-none-match": Schema.optionalKey(Schema.String.annotate({ description: "The `ETag` that is known." })),
}
const tagged = <S extends Schema.Top>(schema: S) =>
  [
    HttpApiSchema.WithHeaders(schema, { etag: Schema.String }),
    HttpApiSchema.Empty(304).annotate({ description: "It is the same still." }),
  ] as const

/** The addresses that no module declares. */
export const endpoints = {
  livez: HttpApiEndpoint.get("livez", "/livez", {
    success: Schema.Struct({ status: Schema.Literal("ok") }).annotate({ description: "Everything turns." }),
  }).annotateMerge(
    OpenApi.annotations({
      summary: "Is the process alive?",
      description: "503 when a part of it stands still; restart it then.",
    }),
  ),
  readyz: HttpApiEndpoint.get("readyz", "/readyz", {
    success: Schema.Struct({ state: Schema.Literals(["ready", "degraded"]), checks }).annotate({
      description: "Requests can be answered; `degraded` when something that is not needed for it is away.",
    }),
    error: NotReady,
  }).annotateMerge(OpenApi.annotations({ summary: "Can requests be answered?" })),
  metrics: HttpApiEndpoint.get("metrics", "/metrics", {
    success: Schema.String.annotate({ description: "In the text format of Prometheus." }).pipe(
      HttpApiSchema.asText({ contentType: "text/plain" }),
    ),
  }).annotateMerge(OpenApi.annotations({ summary: "Measure" })),
  problems: HttpApiEndpoint.get("problems", "/problems", {
    success: [Schema.Struct({ items: Schema.Array(Explained) }).annotate({ description: "Every type." }), html],
  }).annotateMerge(OpenApi.annotations({ summary: "Explain every type of problem", description: unlessAsJson })),
  problem: HttpApiEndpoint.get("problem", "/problems/:slug", {
    params: {
      slug: Schema.String.annotate({ description: "The end of its `type`.", examples: ["validation-failed"] }),
    },
    success: [Explained, html],
    error: NotFound,
  }).annotateMerge(OpenApi.annotations({ summary: "Explain a type of problem", description: unlessAsJson })),
  openapi: HttpApiEndpoint.get("openapi", "/openapi.json", {
    headers: kept,
    success: tagged(Schema.Record(Schema.String, Schema.Unknown).annotate({ description: "In OpenAPI 3.1." })),
  }).annotateMerge(OpenApi.annotations({ summary: "Get this document" })),
  docs: HttpApiEndpoint.get("docs", "/docs", {
    headers: kept,
    success: tagged(html.annotate({ description: "A page." })),
  }).annotateMerge(OpenApi.annotations({ summary: "Read this document" })),
}

const { livez, readyz, metrics, problems, problem, openapi, docs } = endpoints

export const api = HttpApi.make("galleria").add(
  HttpApiGroup.make("operations")
    .add(livez, readyz, metrics, problems, problem, openapi, docs)
    .annotateMerge(OpenApi.annotations({ title: "Operations", description: "For operators." })),
)

/** Answers at one of these addresses, and no other: what is served is documented. */
export const serveAt = <E, R>(
  endpoint: (typeof endpoints)[keyof typeof endpoints],
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
) => Effect.flatMap(HttpRouter.HttpRouter, (router) => router.add(endpoint.method, endpoint.path, answer))
