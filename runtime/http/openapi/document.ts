import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, type HttpApiGroup, HttpApiMiddleware, HttpApiSchema, OpenApi } from "effect/http-api"
import manifest from "../../../package.json" with { type: "json" }
import { catalogue, declare, type Kind, Kinds, Unavailable } from "../Problem.ts"
import { exampleOf, type Json, nameOf, options, tidy } from "./jsonSchema.ts"

/** A module, or the runtime itself. */
interface Owner {
  readonly api: HttpApi.Constraint
}

/** A cast, because the type of an API's groups is invariant. */
const open = (api: HttpApi.Constraint) => api as unknown as HttpApi.HttpApi<"galleria", HttpApiGroup.Top>

const wholeOf = (owners: ReadonlyArray<Owner>) =>
  owners.reduce((whole, { api }) => whole.addHttpApi(open(api)), open(HttpApi.make("galleria")))

/** Every endpoint of an API, with the annotations and middleware of its group. */
export const endpointsOf = (api: HttpApi.Constraint) => {
  const endpoints: Array<HttpApiEndpoint.Top> = []
  HttpApi.reflect(open(api), { onGroup: () => {}, onEndpoint: ({ endpoint }) => void endpoints.push(endpoint) })
  return endpoints
}

/** Each path with its methods, and a pattern for the paths of requests. */
export const routesOf = (owners: ReadonlyArray<Owner>) => {
  const routes = new Map<string, Array<string>>()
  for (const endpoint of endpointsOf(wholeOf(owners))) {
    const path = pathOf(endpoint)
    routes.set(path, [...(routes.get(path) ?? []), endpoint.method])
  }
  return Array.from(routes, ([path, methods]) => ({ path, methods, test: testOf(path) }))
}

/** Of each API the first path that can be requested as it stands: by GET, without parameters. */
export const placesToLook = (owners: ReadonlyArray<Owner>): ReadonlyArray<string> =>
  owners.flatMap(({ api }) => {
    const plain = endpointsOf(api).filter(({ method, path }) => method === "GET" && !path.includes(":"))
    return plain.slice(0, 1).map(({ path }) => path)
  })

const pathOf = ({ path }: HttpApiEndpoint.Top) => path.replaceAll(/:(\w+)/gu, "{$1}")

const testOf = (path: string) =>
  new RegExp(`^${path.replaceAll(".", String.raw`\.`).replaceAll(/\{\w+\}/gu, "[^/]+")}/?$`, "u")

class BadRequest extends declare<BadRequest>()("BadRequest", Kinds.badRequest) {}
class RequestTimeout extends declare<RequestTimeout>()("RequestTimeout", Kinds.requestTimeout) {}
class ContentTooLarge extends declare<ContentTooLarge>()("ContentTooLarge", Kinds.contentTooLarge) {}
class UnsupportedMediaType extends declare<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  Kinds.unsupportedMediaType,
) {}
class HeadersTooLarge extends declare<HeadersTooLarge>()("HeadersTooLarge", Kinds.headersTooLarge) {}
class Internal extends declare<Internal>()("Internal", Kinds.internal) {}

/** The errors of every endpoint; for the document only. */
class Server extends HttpApiMiddleware.Service<Server>()("galleria/Server", {
  error: [
    BadRequest,
    RequestTimeout,
    ContentTooLarge,
    UnsupportedMediaType,
    HeadersTooLarge,
    Internal,
    HttpApiSchema.WithHeaders(Unavailable, {
      "retry-after": Schema.String.annotate({ description: "Seconds to wait before a retry.", pattern: "^\\d+$" }),
    }),
  ],
}) {}

const rules = `Requests and answers are JSON in \`snake_case\`. Unknown members of bodies and queries are ignored. Clients should ignore unknown members of answers: new ones may be added.

**Problems.** Every answer other than 2xx is \`application/problem+json\` (RFC 9457). Distinguish problems by \`type\`, which is the path of the explanation; \`errors\` lists every invalid value by a JSON pointer into the body, or by the name of the query parameter. Paths that are not listed here are answered with 404 \`/problems/not-found\`, other methods with 405 \`/problems/method-not-allowed\` and \`Allow\`.

**Methods.** HEAD is answered like GET, OPTIONS with \`Allow\`.

**Lists** are paginated: pass \`next_cursor\` as \`cursor\` until it is null. Pages neither skip nor repeat items while others are added.

**Retries.** Where an endpoint takes an \`Idempotency-Key\`, a request without an answer, or with a 5xx, can be sent again with the same key.`

/** The OpenAPI document of just these APIs. */
export const documentOf = (owners: ReadonlyArray<Owner>): OpenApi.OpenAPISpec => {
  const whole = wholeOf(owners)
    .middleware(Server)
    .annotateMerge(
      OpenApi.annotations({
        title: "Galleria",
        version: manifest.version,
        summary: manifest.description,
        description: rules,
        license: { name: manifest.license, identifier: manifest.license },
      }),
    )
  const document = tidy(OpenApi.fromApi(whole, options)) as OpenApi.OpenAPISpec
  const schemas: Record<string, Json> = document.components.schemas
  for (const schema of Object.values(schemas)) {
    const kind = kindOf(schema)
    if (kind === undefined) continue
    schema["description"] = kind.detail
    schema["required"] = [...new Set(["type", "title", "status", "detail", ...schema["required"]])]
  }
  for (const endpoint of endpointsOf(whole)) {
    const operation: Json = (document.paths[pathOf(endpoint)] as Json)[endpoint.method.toLowerCase()]
    describeParameters(operation, endpoint)
    describeBody(operation, endpoint, schemas)
    describeAnswers(operation, endpoint, document.components)
    if (endpoint.method === "GET" && endpoint.path.startsWith("/admin/")) describeTag(operation)
    // The token is required only where one is set.
    if (operation["security"].length > 0) operation["security"].push({})
  }
  return document
}

/** The types of parameters after decoding, such as a number for what is text in a URL. */
const describeParameters = (operation: Json, endpoint: HttpApiEndpoint.Top) => {
  const meant = { ...propertiesOf(endpoint.params), ...propertiesOf(endpoint.query) }
  for (const parameter of operation["parameters"]) {
    if (parameter.in === "header") parameter.name = headerOf(parameter.name)
    else parameter.schema = meant[parameter.name]
    lift(parameter)
  }
}

const propertiesOf = (fields: Schema.Top | undefined): Json =>
  fields === undefined
    ? {}
    : (tidy(Schema.toJsonSchemaDocument(Schema.toType(fields), options).schema) as Json)["properties"]

/** Moves the description from the schema to the parameter, where tools expect it. */
const lift = (parameter: Json) => {
  const { description, ...schema } = parameter["schema"]
  if (description !== undefined) Object.assign(parameter, { description, schema })
}

const headerOf = (name: string) =>
  name === "etag" ? "ETag" : name.replaceAll(/\b[a-z]/gu, (letter) => letter.toUpperCase())

const describeBody = (operation: Json, endpoint: HttpApiEndpoint.Top, schemas: Json) => {
  const body = operation["requestBody"]
  if (body === undefined) return
  const wanted = [...endpoint.payload.values()].flatMap((entry) => ("schemas" in entry ? entry.schemas : []))
  body.required = !wanted.some((schema) => HttpApiSchema.isNoContent(schema.ast))
  for (const media of Object.values<Json>(body.content)) media["example"] = exampleOf(media["schema"], schemas)
}

const describeAnswers = (operation: Json, endpoint: HttpApiEndpoint.Top, components: Json) => {
  const schemas = components["schemas"]
  for (const [status, answer] of Object.entries<Json>(operation["responses"])) {
    const headers = Object.entries<Json>(answer["headers"] ?? {})
    for (const [, header] of headers) lift(header)
    if (headers.length > 0) {
      answer["headers"] = Object.fromEntries(headers.map(([name, header]) => [headerOf(name), header]))
    }
    const problems = answer["content"]?.["application/problem+json"]
    if (problems !== undefined) {
      const possible = refsIn(problems.schema).filter((ref) => isPossible(schemas[nameOf(ref)], endpoint))
      if (possible.length === 0) delete operation["responses"][status]
      else operation["responses"][status] = { ...answer, ...problemsOf(possible, schemas) }
      if (possible.length === 1) share(operation["responses"], status, nameOf(possible[0]!), components)
      continue
    }
    for (const [type, media] of Object.entries<Json>(answer["content"] ?? {})) {
      const example = exampleOf(media["schema"], schemas)
      if (type === "application/json" && example !== undefined) media["example"] = example
    }
  }
}

/** Adds to an operation what every read of the state of the moment has: see `etag.ts`. */
const describeTag = (operation: Json) => {
  const answers = operation["responses"]
  const headers = { ETag: { required: true, schema: { type: "string" } } }
  const description = "The `ETag` of an answer: when nothing but `checked_at` has changed since, there is no new one."
  operation["parameters"].push({ name: "If-None-Match", in: "header", schema: { type: "string" }, description })
  answers["200"].headers = headers
  answers["304"] = { description: "Not modified.", headers }
}

/** Replaces an answer that many operations share by a reference. */
const share = (answers: Json, status: string, name: string, components: Json) => {
  components["responses"] ??= {}
  components["responses"][name] ??= answers[status]
  answers[status] = { $ref: `#/components/responses/${name}` }
}

/** Whether an endpoint can have the problem: a request without a body has no invalid body. */
const isPossible = (problem: Json, { method, params, query }: HttpApiEndpoint.Top): boolean => {
  const mayHaveBody = method !== "GET"
  switch (kindOf(problem)!.slug) {
    case "malformed-json":
    case "content-too-large":
    case "unsupported-media-type":
      return mayHaveBody
    case "validation-failed":
      return mayHaveBody || query !== undefined
    case "not-found":
      return params !== undefined
    default:
      return true
  }
}

const problemsOf = (refs: ReadonlyArray<string>, schemas: Json) => {
  const all = refs.map((ref) => ({ name: nameOf(ref), schema: { $ref: ref }, kind: kindOf(schemas[nameOf(ref)])! }))
  const examples = all.map(({ name, schema, kind }) => [
    name,
    { summary: kind.title, value: exampleOf(schema, schemas) },
  ])
  return {
    description: [...new Set(all.map(({ kind }) => kind.title))].join(" | "),
    content: {
      "application/problem+json": {
        schema: all.length === 1 ? all[0]!.schema : { anyOf: all.map(({ schema }) => schema) },
        examples: Object.fromEntries(examples),
      },
    },
  }
}

/** The type of problem that a schema describes; undefined for another schema. */
const kindOf = (schema: Json): Kind | undefined => {
  const type = schema["properties"]?.type?.enum?.[0]
  return catalogue().find(({ slug }) => type === `/problems/${slug}`)
}

const refsIn = ({ $ref, anyOf }: Json): ReadonlyArray<string> =>
  $ref === undefined ? anyOf.map((one: Json) => one["$ref"]) : [$ref]
