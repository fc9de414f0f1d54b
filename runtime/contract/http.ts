import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import type { OpenApi } from "effect/http-api"
import { unlessKnown } from "../http/etag.ts"
import { jsonOf, serveKept } from "../http/openapi/documentation.ts"
import { endpoints, serveAt } from "../http/openapi/operations.ts"
import { Kinds, responseOf } from "../http/Problem.ts"
import { eventsOf } from "../module/Module.ts"
import { asyncApiOf, type Declared } from "./asyncapi.ts"
import type { EventType } from "../events/Event.ts"
import type { Json } from "../http/openapi/jsonSchema.ts"
import { schemaOf } from "./eventSchema.ts"
import { releasedSchema } from "./released.ts"

/** `GET /asyncapi.json` and `GET /schemas/:type/:version`, of the events that these modules publish or react to. */
export const contractRoutes = (modules: ReadonlyArray<Declared>) =>
  Effect.gen(function* () {
    yield* serveKept(
      endpoints.asyncapi,
      Effect.sync(() => jsonOf()(asyncApiOf(modules))),
    )
    const schemas = new Map(eventsOf(modules).map((event) => [event.type, event]))
    yield* serveAt(
      endpoints.schema,
      Effect.gen(function* () {
        const { type = "", version = "" } = yield* HttpRouter.params
        const event = schemas.get(type)
        const schema = event === undefined ? undefined : schemaAt(event, version)
        if (schema === undefined) return responseOf(Kinds.notFound)
        return yield* unlessKnown(Effect.sync(() => jsonOf("application/schema+json")(schema)))
      }),
    )
  })

/** The OpenAPI document with a type of event of these modules as the example in the path of its schema. */
export const withExample = (document: OpenApi.OpenAPISpec, modules: ReadonlyArray<Declared>): OpenApi.OpenAPISpec => {
  const event = eventsOf(modules)[0]
  const examples: Json = event === undefined ? {} : { type: event.type, version: String(event.version) }
  const operation: Json | undefined = document.paths["/schemas/{type}/{version}"]?.get
  for (const { name, schema } of operation?.["parameters"] ?? []) {
    if (name in examples) schema.examples = [examples[name]]
  }
  return document
}

/** The schema of that version: today's, or one that was released, because records of earlier versions stay on the log. */
const schemaAt = (event: EventType, version: string): Json | undefined => {
  if (version === String(event.version)) return schemaOf(event)
  return /^[1-9]\d{0,2}$/u.test(version) && Number(version) < event.version
    ? releasedSchema(event.type, Number(version))
    : undefined
}
