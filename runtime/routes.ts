import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, Schedule } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { auditHttp } from "./admin/audit/http.ts"
import { eventsHttp } from "./admin/events/http.ts"
import { faultsApi } from "./admin/faults/api.ts"
import { faultsHttp } from "./admin/faults/http.ts"
import { journeyHttp } from "./admin/journey/http.ts"
import { overviewHttp } from "./admin/overview/http.ts"
import { searchHttp } from "./admin/search/http.ts"
import { makeReads } from "./admin/reads.ts"
import { cache } from "./drivers.ts"
import type { Settings } from "./config.ts"
import { asyncApiOf } from "./contract/asyncapi.ts"
import { contractRoutes, withExample } from "./contract/http.ts"
import { eventsSection } from "./contract/page.ts"
import { api as adminApi } from "./admin/api.ts"
import { addPublicCalls, toOwnRoutes } from "./console/publicCalls.ts"
import { addConsole, consoleRoutes } from "./console/console.ts"
import { http as adminHttp } from "./admin/http.ts"
import { type Check, type Health, healthRoutes } from "./health/health.ts"
import { lookAt, metricsRoute } from "./health/metrics.ts"
import * as Admin from "./http/Admin.ts"
import { documentOf, routesOf } from "./http/openapi/document.ts"
import { documentation } from "./http/openapi/documentation.ts"
import * as operations from "./http/openapi/operations.ts"
import { explained, problemsEverywhere } from "./http/edge/problems.ts"
import { type FaultRegistry, Faults } from "./module/Faults.ts"
import { modules as allModules } from "./modules.ts"
import { Deployment, eventsOf } from "./module/Module.ts"
import type { StartedModule } from "./startModule.ts"
import { observeRequests } from "./telemetry/http.ts"
import { exportMillis } from "./telemetry/otlp.ts"

/** Paths are case-sensitive, and only a trailing slash is ignored, as in gateways and `routesOf`. */
const strictPaths = { caseSensitive: true, ignoreDuplicateSlashes: false, ignoreTrailingSlash: true }

/** The router of all routes. */
export const strictRouter = Layer.provide(HttpRouter.layer, Layer.succeed(HttpRouter.RouterConfig, strictPaths))

/** The services that all modules share, on every driver. */
export const platform = (settings: Settings) =>
  Layer.mergeAll(
    strictRouter,
    NodeHttpServer.layerHttpServices,
    cache(settings.redis),
    Layer.succeed(Deployment, {
      modules: settings.modules.map((module) => module.name),
      distributed: settings.kafka !== undefined,
    }),
  )

/** The events of the modules; on Kafka, those of all modules, which run in other processes. */
const loggedEvents = ({ modules, kafka }: Settings) =>
  eventsOf(kafka === undefined ? modules : Object.values(allModules))

interface Served {
  readonly settings: Settings
  readonly running: ReadonlyArray<StartedModule>
  readonly health: Health
  /** The check of the event log. */
  readonly events: Check
}

/** `/admin`, over all modules; page keys and databases are the first module's. */
const admin = (
  { settings, running, health, events }: Served,
  access: Admin.Access,
  faults: FaultRegistry | undefined,
) => {
  const limited = makeReads()
  return HttpApiBuilder.layer(adminApi).pipe(
    Layer.provide([
      adminHttp(running, limited),
      auditHttp(running),
      eventsHttp(loggedEvents(settings)),
      overviewHttp({ modules: running, health, events }),
      journeyHttp(running, limited),
      searchHttp({ modules: running, events: loggedEvents(settings), publishers: Object.values(allModules) }, limited),
    ]),
    Layer.merge(
      faults === undefined
        ? Layer.empty
        : Layer.provide(HttpApiBuilder.layer(faultsApi), faultsHttp(faults, running[0]!.deadLetters.record)),
    ),
    Layer.provide(Admin.layer(access)),
    Layer.provide(Layer.succeedContext(running[0]!.ports)),
  )
}

/** Adds the routes that belong to no module, and the middleware of all routes: problems, metrics, traces. */
export const addRoutes = (options: Served) =>
  Effect.gen(function* () {
    const { settings, running, health, events } = options
    const access = Admin.makeAccess(settings.adminToken)
    const faults = yield* Faults
    yield* Layer.build(admin(options, access, faults))
    yield* addPublicCalls({ access, forward: yield* toOwnRoutes })
    const { record } = running[0]!.deadLetters
    yield* addConsole({
      access,
      record: (actor) => Effect.ignoreCause(record({ actor, action: "sign in", target: "console", details: {} })),
      traceUrl: settings.traceUrl,
      features: [...(faults === undefined ? [] : (["faults"] as const)), ...(settings.tryIt ? (["try"] as const) : [])],
    })
    yield* healthRoutes(health, [events, ...running.flatMap(({ checks }) => checks)])
    const watched = running.map(({ name, lag, ports, tasks }) => ({
      module: name,
      lag,
      sql: Context.get(ports, SqlClient.SqlClient),
      tasks: new Set(tasks),
    }))
    yield* metricsRoute(watched)
    if (settings.otlp !== undefined) {
      const looking = Effect.repeat(lookAt(watched), Schedule.spaced(exportMillis.metrics))
      yield* Effect.forkScoped(Effect.withTracerEnabled(looking, false))
    }
    yield* explained
    const owners = [
      ...settings.modules,
      { api: adminApi },
      ...(faults === undefined ? [] : [{ api: faultsApi }]),
      operations,
    ]
    const eventPage = Effect.sync(() => eventsSection(asyncApiOf(settings.modules)))
    const document = Effect.sync(() => withExample(documentOf(owners), settings.modules))
    yield* documentation(document, eventPage)
    yield* contractRoutes(settings.modules)
    const documented = owners.flatMap((owner) =>
      routesOf([owner]).map((route) => ({ ...route, module: "name" in owner ? owner.name : "runtime" })),
    )
    const routes = [...documented, ...consoleRoutes]
    yield* observeRequests(routes)
    yield* problemsEverywhere(routes, Admin.refusalOf(access))
  })
