import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, Schedule } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { auditHttp } from "./admin/audit/http.ts"
import { journeyHttp } from "./admin/journey/http.ts"
import { overviewHttp } from "./admin/overview/http.ts"
import { makeReads } from "./admin/reads.ts"
import { cache } from "./drivers.ts"
import type { Settings } from "./config.ts"
import { api as adminApi } from "./admin/api.ts"
import { http as adminHttp } from "./admin/http.ts"
import { type Check, type Health, healthRoutes } from "./health/health.ts"
import { lookAt, metricsRoute } from "./health/metrics.ts"
import * as Admin from "./http/Admin.ts"
import { routesOf } from "./http/openapi/document.ts"
import { documentation } from "./http/openapi/documentation.ts"
import * as operations from "./http/openapi/operations.ts"
import { explained, problemsEverywhere } from "./http/edge/problems.ts"
import { Deployment } from "./module/Module.ts"
import type { StartedModule } from "./startModule.ts"
import { observeRequests } from "./telemetry/http.ts"
import { exportMillis } from "./telemetry/otlp.ts"

/** Paths are case-sensitive, and only a trailing slash is ignored, as in gateways and `routesOf`. */
const strictPaths = { caseSensitive: true, ignoreDuplicateSlashes: false, ignoreTrailingSlash: true }

/** The services that all modules share, on every driver. */
export const platform = (settings: Settings) =>
  Layer.mergeAll(
    Layer.provide(HttpRouter.layer, Layer.succeed(HttpRouter.RouterConfig, strictPaths)),
    NodeHttpServer.layerHttpServices,
    cache(settings.redis),
    Layer.succeed(Deployment, {
      modules: settings.modules.map((module) => module.name),
      distributed: settings.kafka !== undefined,
    }),
  )

interface Served {
  readonly settings: Settings
  readonly running: ReadonlyArray<StartedModule>
  readonly health: Health
  /** The check of the event log. */
  readonly events: Check
}

/** `/admin`, over all modules; page keys and databases are the first module's. */
const admin = ({ settings, running, health, events }: Served) => {
  const limited = makeReads()
  return HttpApiBuilder.layer(adminApi).pipe(
    Layer.provide([
      adminHttp(running, limited),
      auditHttp(running),
      overviewHttp({ modules: running, health, events }),
      journeyHttp(running, limited),
    ]),
    Layer.provide(Admin.layer(settings.adminToken)),
    Layer.provide(Layer.succeedContext(running[0]!.ports)),
  )
}

/** Adds the routes that belong to no module, and the middleware of all routes: problems, metrics, traces. */
export const addRoutes = (options: Served) =>
  Effect.gen(function* () {
    const { settings, running, health, events } = options
    yield* Layer.build(admin(options))
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
    const owners = [...settings.modules, { api: adminApi }, operations]
    yield* documentation(owners)
    const routes = owners.flatMap((owner) =>
      routesOf([owner]).map((route) => ({ ...route, module: "name" in owner ? owner.name : "runtime" })),
    )
    yield* observeRequests(routes)
    yield* problemsEverywhere(routes)
  })
