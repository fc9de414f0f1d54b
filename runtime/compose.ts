import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Deferred, Duration, Effect, Fiber, Latch, Layer, Redacted, Schedule, Scope } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { auditHttp } from "./audit/http.ts"
import * as cache from "./cache/cache.ts"
import { eventsOf, type Settings } from "./config.ts"
import { makeConsumer } from "./delivery/consumer.ts"
import * as deliveriesTable from "./delivery/deliveriesTable.ts"
import { clocksAgree, housekeepingTurn } from "./delivery/housekeeping.ts"
import * as EmbeddedEventBus from "./events/embedded/EmbeddedEventBus.ts"
import { EventBus, type PartitionsDiffer } from "./events/EventBus.ts"
import type { KafkaSettings } from "./events/kafka/client.ts"
import * as DeadLetters from "./delivery/DeadLetters.ts"
import { api as adminApi } from "./delivery/api.ts"
import { http as adminHttp } from "./delivery/http.ts"
import { makePositions } from "./delivery/positions.ts"
import { makeReplay, positionsBell } from "./delivery/replay.ts"
import { makeRetryTurn } from "./delivery/retry.ts"
import * as Admin from "./http/Admin.ts"
import { type Check, type Health, healthRoutes, whileStarting } from "./health/health.ts"
import { urlOf } from "./http/address.ts"
import { placesToLook, routesOf } from "./http/document.ts"
import { documentation } from "./http/documentation.ts"
import * as edge from "./http/edge.ts"
import * as idempotencyTable from "./http/idempotencyTable.ts"
import * as operations from "./http/operations.ts"
import { explained, problemsEverywhere } from "./http/problems.ts"
import { serve } from "./http/server.ts"
import * as signedPages from "./http/signedPages.ts"
import { backOff, loop, Loops } from "./module/loop.ts"
import { Bound, Deployment, type Module } from "./module/Module.ts"
import { atMost } from "./module/Reaction.ts"
import { makeWallClockTrust } from "./module/wallClock.ts"
import { Outbox } from "./outbox/Outbox.ts"
import { outboxTable } from "./outbox/outboxTable.ts"
import { relay } from "./outbox/relay.ts"
import { Tasks } from "./tasks/Tasks.ts"
import { tasksIn } from "./tasks/taskTable.ts"
import { work } from "./tasks/worker.ts"
import { observeRequests } from "./telemetry/http.ts"
import { lookAt, metricsRoute } from "./telemetry/metrics.ts"
import { exportMillis } from "./telemetry/otlp.ts"
import { type Bell, Database, Databases } from "./sql/Database.ts"
import * as EmbeddedDatabase from "./sql/embedded/EmbeddedDatabase.ts"
import { EmbeddedPostgres } from "./sql/embedded/EmbeddedPostgres.ts"
import { migrate } from "./sql/migrate.ts"
import { onceThere } from "./sql/onceThere.ts"
import { addressOf, nameOf } from "./sql/postgres/address.ts"
import * as PostgresDatabase from "./sql/postgres/PostgresDatabase.ts"

/** The drivers that the settings ask for: the event log, and a database for each module. */
export const drivers = (
  settings: Pick<Settings, "dataDir"> & Partial<Pick<Settings, "modules" | "databases" | "kafka">>,
) => {
  const { modules = [], databases = {}, kafka } = settings
  const embedded = EmbeddedPostgres.layer(settings)
  const isEmbedded = modules.length === 0 || modules.some(({ name }) => databases[name] === undefined)
  return Layer.merge(
    kafka === undefined ? Layer.provide(EmbeddedEventBus.layer, embedded) : kafkaBus(kafka),
    PostgresDatabase.layer({
      urls: databases,
      alone: kafka === undefined,
      otherwise: isEmbedded ? Layer.provide(EmbeddedDatabase.layer, embedded) : undefined,
    }),
  )
}

/** Loaded when it is needed: whoever runs without Kafka starts without it. */
const kafkaBus = (settings: KafkaSettings) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./events/kafka/KafkaEventBus.ts")),
      ({ layer }) => layer(settings),
    ),
  )

/** Rings when a module's outbox has something to relay, in every instance of the module. */
export const outboxBell = "outbox"

/** Rings when a module has added a task, in every instance of the module. */
export const tasksBell = "tasks"

/** All that one module gets, on a database of its own, migrated. */
export const portsOf = (module: Module, database: ReturnType<Databases["Service"]["of"]>) => {
  const migrated = Layer.effectDiscard(migrate(module.migrations, module.name))
  const outbox = Layer.effect(
    Outbox,
    Effect.gen(function* () {
      const { bell } = yield* Database
      return outboxTable(yield* SqlClient.SqlClient, bell(outboxBell).ring, module)
    }),
  )
  const tasks = Layer.effect(
    Tasks,
    Effect.gen(function* () {
      const { bell } = yield* Database
      const names = module.tasks.map(({ name }) => name)
      return tasksIn(yield* SqlClient.SqlClient, names, bell(tasksBell).ring)
    }),
  )
  const deliveries = deliveriesTable.layer(module.reactions)
  return Layer.mergeAll(outbox, tasks, deliveries, idempotencyTable.layer, signedPages.layer, edge.layer).pipe(
    Layer.provideMerge(migrated),
    Layer.provideMerge(database),
  )
}

/** Opens the latch whenever the bell rings. */
export const openedBy = (latch: Latch.Latch, bell: Bell) =>
  Effect.gen(function* () {
    for (let next = yield* bell.next; ;) {
      yield* Deferred.await(next)
      // Taken before the latch opens: a ring from now on is not missed, and one before is seen by whoever looks next.
      next = yield* bell.next
      yield* latch.open
    }
  })

/** Modules whose start waits for their database, and why. */
type Waits = Map<string, string>

const tellOfWaiting = (module: Module, waits: Waits) => (reason: string | undefined) =>
  Effect.suspend(() => {
    const before = waits.get(module.name)
    if (reason === before) return Effect.void
    if (reason === undefined) {
      waits.delete(module.name)
      return Effect.logInfo("The database is there: the start goes on")
    }
    waits.set(module.name, reason)
    return Effect.logWarning(`The start waits for the database: ${reason}`)
  })

const databaseCheck = ({ name }: Module) => `database.${name}`

/** The check of a module that has not started yet. */
const startOf = (module: Module, waits: Waits): Check => ({
  name: databaseCheck(module),
  needed: true,
  fault: Effect.sync(() => waits.get(module.name) ?? "starting"),
})

/**
 * Builds one module by itself and starts its relay, its consumer and its tasks. By itself: layers are shared by
 * reference, so modules that are merged into one layer would share the first one's outbox.
 */
const start = (module: Module, settings: Settings, waits: Waits) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const loops = yield* Loops
    const wake = Latch.makeUnsafe(true)
    const opening = Layer.build(portsOf(module, (yield* Databases).of(module.name)))
    const ports = yield* onceThere(opening, tellOfWaiting(module, waits))
    const built = yield* Layer.build(Layer.provide(module.layer, Layer.succeedContext(ports)))
    const { reactions: bound, tasks, checks: own, audit } = Context.get(built, Bound)
    const reactions = bound.map(atMost(settings.retryAttempts))
    const database = Context.get(ports, Database)
    const group = `${module.name}_service_group`

    const moved = Latch.makeUnsafe(false)
    const watchWake = Latch.makeUnsafe(true)
    yield* Effect.forkScoped(openedBy(watchWake, database.bell(positionsBell)))
    const positions = yield* makePositions({ module: module.name, reactions, moved }).pipe(Effect.provideContext(ports))
    const topics = [...new Set(reactions.map((reaction) => reaction.event.type))]
    const consume = bus.consume({
      group,
      topics,
      handle: yield* makeConsumer({ module: module.name, reactions, positions }).pipe(Effect.provideContext(ports)),
      positions,
    })
    yield* Effect.forkScoped(
      loop({ name: `${module.name}.positions`, turn: positions.watch, wake: watchWake, poll: "1 second" }),
    )
    const replay = yield* Effect.provideContext(makeReplay({ module: module.name, reactions, positions }), ports)
    yield* Effect.forkScoped(
      loop({ name: `${module.name}.replay`, turn: replay.turn, wake: replay.wake, poll: "10 seconds" }),
    )
    yield* Effect.forkScoped(openedBy(wake, database.bell(outboxBell)))
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
    const trusted = yield* makeWallClockTrust
    const housekeeping = housekeepingTurn({ reactions: module.reactions, retention: retentionOf(settings) })
    yield* Effect.forkScoped(
      loop({
        name: `${module.name}.housekeeping`,
        turn: Effect.gen(function* () {
          yield* database.writable
          return (yield* trusted) && (yield* clocksAgree) ? yield* housekeeping : false
        }),
        wake: Latch.makeUnsafe(false),
        poll: "1 minute",
      }).pipe(Effect.provideContext(ports)),
    )
    const tasksWake = Latch.makeUnsafe(true)
    yield* Effect.forkScoped(openedBy(tasksWake, database.bell(tasksBell)))
    const worker = yield* Effect.provideContext(work({ module: module.name, tasks, wake: tasksWake }), ports)

    const checks: ReadonlyArray<Check> = [
      {
        name: databaseCheck(module),
        needed: true,
        fault: Effect.match(Effect.andThen(database.probe, database.writable), {
          onSuccess: () => undefined,
          onFailure: (error) => error.reason,
        }),
      },
      { name: `consumer.${module.name}`, needed: false, fault: loops.faultOf(`${group}.consumer`) },
      { name: `records.${module.name}`, needed: false, fault: positions.lost },
      ...["relay", "retry", "housekeeping", "positions", "replay"].map((name) => ({
        name: `${name}.${module.name}`,
        needed: false,
        fault: loops.faultOf(`${module.name}.${name}`),
      })),
      ...(tasks.length === 0 ? [] : [{ name: `tasks.${module.name}`, needed: false, fault: worker.fault }]),
      ...own.map((check) => ({ ...check, needed: false })),
    ]
    return {
      name: module.name,
      group,
      consume,
      ports,
      checks,
      reactions,
      tasks: tasks.map((task) => task.name),
      deadLetters: Context.get(deadLetters, DeadLetters.DeadLetters),
      replay,
      lag: positions.lag(),
      audit,
    }
  }).pipe(Effect.annotateLogs("module", module.name))

const retentionOf = (settings: Settings) => Duration.days(settings.retentionDays)

/** The pages for people who run this, over all modules; keys and databases of pages are the first module's. */
const admin = (running: ReadonlyArray<Effect.Success<ReturnType<typeof start>>>, settings: Settings) =>
  HttpApiBuilder.layer(adminApi).pipe(
    Layer.provide([adminHttp(running), auditHttp(running)]),
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
    cache.layer(settings.redis),
    Layer.succeed(Deployment, {
      modules: settings.modules.map((module) => module.name),
      distributed: settings.kafka !== undefined,
    }),
  )

/** A broker that is away is waited for in the background: orders are accepted meanwhile. */
const ensureWithin = "3 seconds"

/** How long `/readyz` waits at a start for the consumer groups to have joined. */
const joinWithin = "15 seconds"

/**
 * Makes the topics of the modules. What the broker says of their partitions may come late, and then ends the program
 * by `ended`.
 */
const ensureTopics = (settings: Settings) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const ended = yield* Deferred.make<never, PartitionsDiffer>()
    const topics = eventsOf(settings.modules).map((event) => ({
      name: event.type,
      partitions: settings.partitions,
      retention: event.keptForever ? undefined : retentionOf(settings),
    }))
    const ensuring = yield* bus.ensure(topics).pipe(
      Effect.retry({ while: (error) => error._tag === "EventBusError", schedule: backOff }),
      Effect.catchTag("EventBusError", Effect.die),
      Effect.tapError((error) => Deferred.fail(ended, error)),
      Effect.forkScoped,
    )
    yield* Effect.raceFirst(Fiber.join(ensuring), Effect.sleep(ensureWithin))
    return Deferred.await(ended)
  })

/** The consumer groups have joined, or have had their time: then a process serves without them. */
const joinedOrLate = (groups: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const loops = yield* Loops
    const faults = Effect.forEach(groups, (group) => loops.faultOf(`${group}.consumer`))
    yield* Effect.repeat(faults, {
      until: (found) => found.every((fault) => fault === undefined),
      schedule: Schedule.spaced("50 millis"),
    }).pipe(Effect.timeoutOption(joinWithin))
  })

/** Which modules run on what, in words. */
const placesOf = ({ modules, databases, kafka, dataDir }: Settings) => {
  const placeOf = ({ name }: Module) => {
    const url = databases[name]
    return url === undefined ? undefined : `PostgreSQL at ${nameOf(addressOf(Redacted.value(url)))}`
  }
  const places = [...Map.groupBy(modules, placeOf)].map(
    ([place, those]) =>
      `${those.map(({ name }) => name).join(", ")} on ${place ?? `an embedded database in ${dataDir}`}`,
  )
  return `${places.join("; ")}; the event log is ${kafka === undefined ? `embedded in ${dataDir}` : `Kafka at ${kafka.servers.join()}`}`
}

/**
 * Runs Galleria on the drivers given, until the scope closes. Succeeds when everything is up, and says where, and what
 * may end it later.
 */
export const galleria = (settings: Settings) =>
  Effect.gen(function* () {
    const { modules, host } = settings
    const health: Health = { state: "starting" }
    const bus = yield* EventBus
    const answers = Effect.match(bus.probe, { onSuccess: () => undefined, onFailure: (error) => error.message })
    const events: Check = { name: "events", needed: false, fault: answers }
    const waits: Waits = new Map()
    const checks = [events, ...modules.map((module) => startOf(module, waits))]
    // Opened first, that whoever asks during a long start is answered; closed first, before what it answers by.
    const intake = yield* Scope.fork(yield* Effect.scope)
    const server = yield* serve({ ...settings, meanwhile: yield* whileStarting(health, checks) }).pipe(
      Effect.withTracerEnabled(false),
      Scope.provide(intake),
    )
    const ended = yield* ensureTopics(settings)
    const running = []
    for (const module of modules) running.push(yield* start(module, settings, waits))
    // They leave their groups side by side: each may take seconds where the broker does not answer.
    const consuming = yield* Scope.fork(yield* Effect.scope, "parallel")
    for (const { name, consume } of running) {
      yield* consume.pipe(Scope.provide(consuming), Effect.annotateLogs("module", name))
    }
    yield* Layer.build(admin(running, settings))
    yield* healthRoutes(health, [events, ...running.flatMap((module) => module.checks)])
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
    const owners = [...modules, { api: adminApi }, operations]
    yield* documentation(owners)
    const routes = owners.flatMap((owner) =>
      routesOf([owner]).map((route) => ({ ...route, module: "name" in owner ? owner.name : "runtime" })),
    )
    yield* observeRequests(routes)
    yield* problemsEverywhere(routes)
    if (settings.kafka === undefined) yield* warnOfSilence(modules)

    yield* server.open
    yield* Effect.addFinalizer((exit) => Scope.close(intake, exit))
    yield* Effect.addFinalizer(() => Effect.sync(() => (health.state = "stopping")))
    yield* joinedOrLate(running.map(({ group }) => group)).pipe(
      Effect.andThen(Effect.sync(() => (health.state = "running"))),
      Effect.forkScoped({ startImmediately: true }),
    )
    const url = urlOf(host, server.port)
    yield* Effect.logInfo(`Galleria runs ${placesOf(settings)}`)
    yield* Effect.logInfo(
      `Try ${[...placesToLook(modules), "/readyz", "/docs"].map((path) => `${url}${path}`).join(", ")}`,
    )
    return { url, ended }
  }).pipe((program) =>
    Effect.flatMap(Layer.build(platform(settings)), (context) => Effect.provideContext(program, context)),
  )
