import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import { jsonOf, serveKept, unlessKnown } from "../http/openapi/documentation.ts"
import { endpoints, serveAt } from "../http/openapi/operations.ts"
import { Kinds, responseOf } from "../http/Problem.ts"
import { eventsOf } from "../module/Module.ts"
import { asyncApiOf, type Declared } from "./asyncapi.ts"
import { pathOf, schemaOf } from "./eventSchema.ts"

/** `GET /asyncapi.json` and `GET /schemas/:type/:version`, of the events that these modules publish or react to. */
export const contractRoutes = (modules: ReadonlyArray<Declared>) =>
  Effect.gen(function* () {
    yield* serveKept(
      endpoints.asyncapi,
      Effect.sync(() => jsonOf()(asyncApiOf(modules))),
    )
    const schemas = new Map(eventsOf(modules).map((event) => [pathOf(event), event]))
    yield* serveAt(
      endpoints.schema,
      Effect.gen(function* () {
        const { type = "", version = "" } = yield* HttpRouter.params
        const event = schemas.get(`/schemas/${type}/${version}`)
        if (event === undefined) return responseOf(Kinds.notFound)
        return yield* unlessKnown(Effect.sync(() => jsonOf("application/schema+json")(schemaOf(event))))
      }),
    )
  })
