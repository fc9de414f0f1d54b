import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Scope } from "effect"
import type { Settings } from "./config.ts"
import { addConsole, consoleRoutes } from "./console/console.ts"
import { addPublicCalls } from "./console/publicCalls.ts"
import { type Health, healthRoutes, whileStarting } from "./health/health.ts"
import { metricsRoute } from "./health/metrics.ts"
import { urlOf } from "./http/address.ts"
import * as Admin from "./http/Admin.ts"
import type { ModuleAddress } from "./http/addresses.ts"
import { explained, problemsEverywhere } from "./http/edge/problems.ts"
import { documentOf, routesOf } from "./http/openapi/document.ts"
import { documentation } from "./http/openapi/documentation.ts"
import * as operations from "./http/openapi/operations.ts"
import { serve } from "./http/server/server.ts"
import { eventsOf } from "./module/Module.ts"
import { modules } from "./modules.ts"
import { addRemoteAdmin, makeRemoteAdmin, remoteAdminRoutes, toModules } from "./remote/admin.ts"
import { strictRouter } from "./routes.ts"
import { observeRequests } from "./telemetry/http.ts"

/**
 * Runs the console without modules, over those at the addresses, until the scope closes. Succeeds when it has started, with
 * the URL and with `ended`, which never ends.
 */
export const consoleAlone = (settings: Settings, addresses: ReadonlyArray<ModuleAddress>) =>
  Effect.flatMap(Layer.build(Layer.merge(strictRouter, NodeHttpServer.layerHttpServices)), (context) =>
    Effect.provideContext(run(settings, addresses), context),
  )

const run = (settings: Settings, addresses: ReadonlyArray<ModuleAddress>) =>
  Effect.gen(function* () {
    const health: Health = { state: "starting" }
    const intake = yield* Scope.fork(yield* Effect.scope)
    const server = yield* serve({ ...settings, meanwhile: yield* whileStarting(health, []) }).pipe(
      Effect.withTracerEnabled(false),
      Scope.provide(intake),
    )
    yield* addRoutes(settings, addresses, health)
    yield* server.open
    yield* Effect.addFinalizer((exit) => Scope.close(intake, exit))
    yield* Effect.addFinalizer(() => Effect.sync(() => (health.state = "stopping")))
    health.state = "running"
    const url = urlOf(settings.host, server.port)
    const places = addresses.map(({ url, module }) => (module === undefined ? url : `${module} at ${url}`))
    yield* Effect.logInfo(`The console runs at ${url}/console over ${places.join(", ")}`)
    return { url, ended: Effect.never }
  })

const addRoutes = (settings: Settings, addresses: ReadonlyArray<ModuleAddress>, health: Health) =>
  Effect.gen(function* () {
    const access = Admin.makeAccess(settings.adminToken)
    const remote = yield* makeRemoteAdmin({
      addresses,
      token: settings.adminToken,
      events: eventsOf(Object.values(modules)),
    })
    yield* addRemoteAdmin(access, remote)
    yield* addPublicCalls({ access, forward: toModules(remote) })
    yield* addConsole({
      access,
      // Without a database there is only the line in the log.
      record: () => Effect.void,
      traceUrl: settings.traceUrl,
      features: settings.tryIt ? ["try"] : [],
    })
    yield* healthRoutes(health, [])
    yield* metricsRoute([])
    yield* explained
    yield* documentation(
      Effect.sync(() => documentOf([operations])),
      Effect.succeed(""),
    )
    const documented = routesOf([operations]).map((route) => ({ ...route, module: "runtime" }))
    const routes = [...documented, ...remoteAdminRoutes, ...consoleRoutes]
    yield* observeRequests(routes)
    yield* problemsEverywhere(routes, Admin.refusalOf(access))
  })
