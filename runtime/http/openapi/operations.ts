import { Effect, Schema } from "effect"
import { HttpRouter, type HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { declare, Kinds, NotFound } from "../Problem.ts"

const checks = Schema.Record(Schema.String, Schema.String).annotate({
  description: "For each check: `ok`, or why it fails.",
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
  detail: Schema.String.annotate({
    examples: ["Some values of the request are invalid; `errors` lists each of them."],
  }),
}).annotate({ identifier: "Explained", description: "The explanation of a type of problem." })

const html = Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html" }))
const unlessAsJson = "HTML for clients that accept HTML and not JSON."

/** A conditional request: an answer that has not changed is not sent again. */
const kept = {
  "if-none-match": Schema.optionalKey(Schema.String.annotate({ description: "The `ETag` of the cached answer." })),
}
const tagged = <S extends Schema.Top>(schema: S) =>
  [
    HttpApiSchema.WithHeaders(schema, { etag: Schema.String }),
    HttpApiSchema.Empty(304).annotate({ description: "Not modified." }),
  ] as const

/** The endpoints of the runtime itself. */
export const endpoints = {
  livez: HttpApiEndpoint.get("livez", "/livez", {
    success: Schema.Struct({ status: Schema.Literal("ok") }).annotate({
      description: "Every loop of the process makes progress.",
    }),
  }).annotateMerge(
    OpenApi.annotations({
      summary: "Check liveness",
      description: "503 when a loop of the process is stuck; restart the process then.",
    }),
  ),
  readyz: HttpApiEndpoint.get("readyz", "/readyz", {
    success: Schema.Struct({ state: Schema.Literals(["ready", "degraded"]), checks }).annotate({
      description: "Ready for requests; `degraded` when something that requests do not need is unavailable.",
    }),
    error: NotReady,
  }).annotateMerge(OpenApi.annotations({ summary: "Check readiness" })),
  metrics: HttpApiEndpoint.get("metrics", "/metrics", {
    success: Schema.String.annotate({ description: "Metrics in the text format of Prometheus." }).pipe(
      HttpApiSchema.asText({ contentType: "text/plain" }),
    ),
  }).annotateMerge(OpenApi.annotations({ summary: "Get metrics" })),
  problems: HttpApiEndpoint.get("problems", "/problems", {
    success: [
      Schema.Struct({ items: Schema.Array(Explained) }).annotate({ description: "All types of problem." }),
      html,
    ],
  }).annotateMerge(OpenApi.annotations({ summary: "List types of problem", description: unlessAsJson })),
  problem: HttpApiEndpoint.get("problem", "/problems/:slug", {
    params: {
      slug: Schema.String.annotate({ description: "The last segment of its `type`.", examples: ["validation-failed"] }),
    },
    success: [Explained, html],
    error: NotFound,
  }).annotateMerge(OpenApi.annotations({ summary: "Explain a type of problem", description: unlessAsJson })),
  openapi: HttpApiEndpoint.get("openapi", "/openapi.json", {
    headers: kept,
    success: tagged(Schema.Record(Schema.String, Schema.Unknown).annotate({ description: "An OpenAPI 3.1 document." })),
  }).annotateMerge(OpenApi.annotations({ summary: "Get this document" })),
  asyncapi: HttpApiEndpoint.get("asyncapi", "/asyncapi.json", {
    headers: kept,
    success: tagged(
      Schema.Record(Schema.String, Schema.Unknown).annotate({
        description: "An AsyncAPI 3.0 document of the events that the modules here publish or react to.",
        examples: [{ asyncapi: "3.0.0", info: { title: "Galleria", version: "1.0.0" } }],
      }),
    ),
  }).annotateMerge(OpenApi.annotations({ summary: "Get the events" })),
  schema: HttpApiEndpoint.get("schema", "/schemas/:type/:version", {
    headers: kept,
    params: {
      type: Schema.String.annotate({ description: "The type of the event.", examples: ["order_created"] }),
      version: Schema.String.annotate({ description: "The version of its data.", examples: ["1"] }),
    },
    success: tagged(
      Schema.Record(Schema.String, Schema.Unknown)
        .annotate({ description: "A JSON Schema (2020-12) of the event's data." })
        .pipe(HttpApiSchema.asJson({ contentType: "application/schema+json" })),
    ),
    error: NotFound,
  }).annotateMerge(
    OpenApi.annotations({
      summary: "Get the schema of an event",
      description: "`ce_dataschema` of an event is this path.",
    }),
  ),
  docs: HttpApiEndpoint.get("docs", "/docs", {
    headers: kept,
    success: tagged(html.annotate({ description: "The document as a page." })),
  }).annotateMerge(OpenApi.annotations({ summary: "Read this document" })),
}

const { livez, readyz, metrics, problems, problem, openapi, asyncapi, schema, docs } = endpoints

export const api = HttpApi.make("galleria").add(
  HttpApiGroup.make("operations")
    .add(livez, readyz, metrics, problems, problem, openapi, asyncapi, schema, docs)
    .annotateMerge(OpenApi.annotations({ title: "Operations", description: "For operators." })),
)

/** Adds the route of one of these endpoints. Other routes cannot be added, so that every route is documented. */
export const serveAt = <E, R>(
  endpoint: (typeof endpoints)[keyof typeof endpoints],
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
) => Effect.flatMap(HttpRouter.HttpRouter, (router) => router.add(endpoint.method, endpoint.path, answer))
