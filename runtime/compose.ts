import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Duration, Effect, Latch, Layer, Schedule } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient, type SqlError } from "effect/sql"
import { eventsOf, type Settings } from "./config.ts"
import { makeConsumer } from "./delivery/consumer.ts"
import { housekeepingTurn } from "./delivery/housekeeping.ts"
import * as EmbeddedEventBus from "./events/embedded/EmbeddedEventBus.ts"
import { EventBus } from "./events/EventBus.ts"
import * as DeadLetters from "./delivery/DeadLetters.ts"
import { api as adminApi } from "./delivery/api.ts"
import { http as adminHttp } from "./delivery/http.ts"
import { makeReplay } from "./delivery/replay.ts"
import { makeRetryTurn } from "./delivery/retry.ts"
import * as Admin from "./http/Admin.ts"
import { type Check, type Health, healthRoutes } from "./health/health.ts"
import { routesOf } from "./http/document.ts"
import { documentation } from "./http/documentation.ts"
import * as edge from "./http/edge.ts"
import * as idempotencyTable from "./http/idempotencyTable.ts"
import * as operations from "./http/operations.ts"
import { explained, problemsEverywhere } from "./http/problems.ts"
import { serve } from "./http/server.ts"
import * as signedPages from "./http/signedPages.ts"
import { loop, Loops } from "./module/loop.ts"
import { Bound, Deployment, type Module } from "./module/Module.ts"
import { atMost } from "./module/Reaction.ts"
import { Outbox } from "./outbox/Outbox.ts"
import { outboxTable } from "./outbox/outboxTable.ts"
import { relay } from "./outbox/relay.ts"
import { observeRequests } from "./telemetry/http.ts"
import { lookAt, metricsRoute } from "./telemetry/metrics.ts"
import { exportMillis } from "./telemetry/otlp.ts"
import { Database, Databases } from "./sql/Database.ts"
import * as EmbeddedDatabase from "./sql/embedded/EmbeddedDatabase.ts"
import { EmbeddedPostgres } from "./sql/embedded/EmbeddedPostgres.ts"
import { migrate } from "./sql/migrate.ts"

/** The drivers that the settings ask for: the event log, and a database for each module. */
export const drivers = (settings: Pick<Settings, "dataDir">) =>
  Layer.merge(EmbeddedEventBus.layer, EmbeddedDatabase.layer).pipe(Layer.provide(EmbeddedPostgres.layer(settings)))

/** All that one module gets, on a database of its own, migrated. */
const portsOf = (
  module: Module,
  database: Layer.Layer<Database | SqlClient.SqlClient, SqlError.SqlError>,
  wake: Latch.Latch,
) => {
  const migrated = Layer.effectDiscard(migrate(module.migrations))
  const outbox = Layer.effect(
    Outbox,
    Effect.map(SqlClient.SqlClient, (sql) => outboxTable(sql, wake)),
  )
  return Layer.mergeAll(outbox, idempotencyTable.layer, signedPages.layer, edge.layer).pipe(
    Layer.provideMerge(migrated),
    Layer.provideMerge(database),
  )
}

/**
 * Builds one module by itself and starts its relay, its consumer and its workers. By itself: layers are shared by
 * reference, so modules that are merged into one layer would share the first one's outbox.
 */
const start = (module: Module, settings: Settings) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const loops = yield* Loops
    const wake = Latch.makeUnsafe(true)
    const ports = yield* Layer.build(portsOf(module, (yield* Databases).of(module.name), wake))
    const built = yield* Layer.build(Layer.provide(module.layer, Layer.succeedContext(ports)))
    const { reactions: bound, workers } = Context.get(built, Bound)
    const reactions = bound.map(atMost(settings.retryAttempts))
    const database = Context.get(ports, Database)
    const group = `${module.name}_service_group`

    yield* bus.consume({
      group,
      topics: [...new Set(reactions.map((reaction) => reaction.event.type))],
      handle: yield* makeConsumer({ module: module.name, reactions }).pipe(Effect.provideContext(ports)),
    })
    yield* Effect.forkScoped(relay({ module: module.name, wake }).pipe(Effect.provideContext(ports)))

    const retryWake = Latch.makeUnsafe(true)
    const retry = { module: module.name, reactions }
    yield* Effect.forkScoped(
      loop({
        name: `${module.name}.retry`,
        turn: yield* Effect.provideContext(makeRetryTurn(retry), ports),
        wake: retryWake,
        poll: "250 millis",
      }),
    )
    const deadLetters = yield* Layer.build(
      Layer.provide(DeadLetters.layer(module.name, Effect.asVoid(retryWake.open)), Layer.succeedContext(ports)),
    )
    yield* Effect.forkScoped(
      loop({
        name: `${module.name}.housekeeping`,
        turn: Effect.andThen(
          database.writable,
          housekeepingTurn({ reactions: module.reactions, retention: retentionOf(settings) }),
        ),
        wake: Latch.makeUnsafe(false),
        poll: "1 minute",
      }).pipe(Effect.provideContext(ports)),
    )
    for (const worker of workers) {
      const { name, turn } = worker
      yield* Effect.forkScoped(
        loop({ name: `${module.name}.${name}`, turn, wake: Latch.makeUnsafe(true), poll: "1 second" }),
      )
    }

    const checks: ReadonlyArray<Check> = [
      {
        name: `database.${module.name}`,
        needed: true,
        fault: Effect.match(Effect.andThen(database.probe, database.writable), {
          onSuccess: () => undefined,
          onFailure: (error) => error.reason,
        }),
      },
      { name: `consumer.${module.name}`, needed: false, fault: loops.faultOf(`${group}.consumer`) },
    ]
    return {
      name: module.name,
      group,
      ports,
      checks,
      reactions,
      deadLetters: Context.get(deadLetters, DeadLetters.DeadLetters),
      replay: yield* Effect.provideContext(makeReplay({ module: module.name, group }), ports),
    }
  }).pipe(Effect.annotateLogs("module", module.name))

const retentionOf = (settings: Settings) => Duration.days(settings.retentionDays)

/** The pages for people who run this, over all modules; keys and databases of pages are the first module's. */
const admin = (running: ReadonlyArray<Effect.Success<ReturnType<typeof start>>>, settings: Settings) =>
  HttpApiBuilder.layer(adminApi).pipe(
    Layer.provide(adminHttp(running)),
    Layer.provide(Admin.layer(settings.adminToken)),
    Layer.provide(Layer.succeedContext(running[0]!.ports)),
  )

/** Reactions to events whose publishers do not run here: with an embedded log they stay silent. */
const warnOfSilence = (modules: ReadonlyArray<Module>) => {
  const published = new Set(modules.flatMap((module) => module.publishes.map((event) => event.type)))
  const silent = eventsOf(modules).filter((event) => !published.has(event.type))
  return silent.length === 0
    ? Effect.void
    : Effect.logWarning(
        `Nobody here publishes ${silent.map((event) => event.type).join(", ")}: reactions to them stay silent`,
      )
}

/** Paths are told apart by case and by every slash but the last, as gateways and `routesOf` do. */
const strictPaths = { caseSensitive: true, ignoreDuplicateSlashes: false, ignoreTrailingSlash: true }

/** What every module shares, whatever the drivers. */
const platform = (settings: Settings) =>
  Layer.mergeAll(
    Layer.provide(HttpRouter.layer, Layer.succeed(HttpRouter.RouterConfig, strictPaths)),
    NodeHttpServer.layerHttpServices,
    Layer.succeed(Deployment, { modules: settings.modules.map((module) => module.name), distributed: false }),
  )

/** Runs Galleria on the drivers given, until the scope closes. Succeeds when everything is up, and says where. */
export const galleria = (settings: Settings) =>
  Effect.gen(function* () {
    const { modules, host, dataDir } = settings
    const names = modules.map((module) => module.name).join(", ")
    const health: Health = { state: "starting" }
    const bus = yield* EventBus
    yield* bus.ensure(
      eventsOf(modules).map((event) => ({
        name: event.type,
        partitions: settings.partitions,
        retention: event.keptForever ? undefined : retentionOf(settings),
      })),
    )
    const answers = Effect.match(bus.probe, { onSuccess: () => undefined, onFailure: (error) => error.message })
    const checks: Array<Check> = [{ name: "events", needed: false, fault: answers }]
    const running = []
    for (const module of modules) running.push(yield* start(module, settings))
    checks.push(...running.flatMap((module) => module.checks))
    yield* Layer.build(admin(running, settings))
    yield* healthRoutes(health, checks)
    const watched = running.map(({ name, group, ports }) => ({
      module: name,
      group,
      sql: Context.get(ports, SqlClient.SqlClient),
    }))
    yield* metricsRoute(watched, bus)
    if (settings.otlp !== undefined) {
      const looking = Effect.repeat(lookAt(watched, bus), Schedule.spaced(exportMillis.metrics))
      yield* Effect.forkScoped(Effect.withTracerEnabled(looking, false))
    }
    yield* explained
    const owners = [...modules, { api: adminApi }, operations]
    yield* documentation(owners)
    const routes = owners.flatMap((owner) =>
      routesOf([owner]).map((route) => ({ ...route, module: "name" in owner ? owner.name : "runtime" })),
    )
    yield* observeRequests(routes)
    yield* problemsEverywhere(routes)
    yield* warnOfSilence(modules)

    const port = yield* Effect.withTracerEnabled(serve(settings), false)
    health.state = "running"
    yield* Effect.addFinalizer(() => Effect.sync(() => (health.state = "stopping")))
    const url = `http://${host === "0.0.0.0" || host === "::" ? "localhost" : host}:${port}`
    yield* Effect.logInfo(`Galleria runs ${names} on an embedded database and event log in ${dataDir}`)
    yield* Effect.logInfo(`Try ${url}/users, ${url}/orders, ${url}/readyz and ${url}/docs`)
    return { url }
  }).pipe((program) =>
    Effect.flatMap(Layer.build(platform(settings)), (context) => Effect.provideContext(program, context)),
  )
