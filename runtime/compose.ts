import { Deferred, Effect, identity, Layer, Schedule, Scope } from "effect"
import type { Settings } from "./config.ts"
import type { OtherLog } from "./delivery/logIdentity.ts"
import { placesOf } from "./drivers.ts"
import { EventBus, type PartitionsDiffer } from "./events/EventBus.ts"
import { type Check, type Health, whileStarting } from "./health/health.ts"
import { urlOf } from "./http/address.ts"
import { placesToLook } from "./http/openapi/document.ts"
import { serve } from "./http/server/server.ts"
import { Loops } from "./loop/loop.ts"
import { breakable } from "./module/faulty.ts"
import { addRoutes, platform } from "./routes.ts"
import { startCheck, startModule, type Waits } from "./startModule.ts"
import { ensureTopics, warnOfSilence } from "./topics.ts"

/**
 * Runs Galleria on the given drivers until the scope closes. Succeeds when everything has started, with the URL and with
 * `ended`, which fails when the program has to end.
 */
export const galleria = (settings: Settings) =>
  Effect.flatMap(Layer.build(platform(settings)), (context) => Effect.provideContext(run(settings), context)).pipe(
    settings.faults ? breakable : identity,
  )

const run = (settings: Settings) =>
  Effect.gen(function* () {
    const { modules, host } = settings
    const health: Health = { state: "starting" }
    const ended = yield* Deferred.make<never, PartitionsDiffer | OtherLog>()
    const end = (why: PartitionsDiffer | OtherLog) => Deferred.fail(ended, why)
    const events = yield* eventsCheck
    const waits: Waits = new Map()

    // The port opens first, so that requests are answered during a long start. It also closes first, before the services
    // that its handlers use.
    const intake = yield* Scope.fork(yield* Effect.scope)
    const starting = [events, ...modules.map((module) => startCheck(module, waits))]
    const server = yield* serve({ ...settings, meanwhile: yield* whileStarting(health, starting) }).pipe(
      Effect.withTracerEnabled(false),
      Scope.provide(intake),
    )

    yield* ensureTopics(settings, end)
    const running = []
    // Modules end in parallel: each may wait for a statement of a database that does not answer.
    const ending = yield* Scope.fork(yield* Effect.scope, "parallel")
    for (const module of modules) {
      const started = startModule({ module, settings, waits, end })
      running.push(yield* Scope.provide(started, yield* Scope.fork(ending)))
    }

    // Consumers leave their groups in parallel: each may take seconds while the broker does not answer.
    const consuming = yield* Scope.fork(yield* Effect.scope, "parallel")
    for (const { name, consume } of running) {
      yield* consume.pipe(Scope.provide(consuming), Effect.annotateLogs("module", name))
    }

    yield* addRoutes({ settings, running, health, events })
    yield* server.open
    yield* Effect.addFinalizer((exit) => Scope.close(intake, exit))
    yield* Effect.addFinalizer(() => Effect.sync(() => (health.state = "stopping")))
    yield* joinedOrLate(running.map(({ group }) => group)).pipe(
      Effect.andThen(Effect.sync(() => (health.state = "running"))),
      Effect.forkScoped({ startImmediately: true }),
    )

    const url = urlOf(host, server.port)
    if (settings.kafka === undefined) yield* warnOfSilence(modules)
    yield* Effect.logInfo(`Galleria runs ${placesOf(settings)}`)
    yield* Effect.logInfo(
      `Try ${[...placesToLook(modules), "/readyz", "/docs", "/console"].map((path) => `${url}${path}`).join(", ")}`,
    )
    return { url, ended: Deferred.await(ended) }
  })

/** The check whether the event log answers. */
const eventsCheck: Effect.Effect<Check, never, EventBus> = Effect.map(EventBus, ({ probe }) => ({
  name: "events",
  needed: false,
  fault: Effect.match(probe, { onSuccess: () => undefined, onFailure: (error) => error.message }),
}))

/** How long `/readyz` waits at the start until the consumer groups have joined. */
const joinWithin = "15 seconds"

/** Waits until the consumer groups have joined, or for `joinWithin`; after that the process serves without them. */
const joinedOrLate = (groups: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const loops = yield* Loops
    const faults = Effect.forEach(groups, (group) => loops.faultOf(`${group}.consumer`))
    yield* Effect.repeat(faults, {
      until: (found) => found.every((fault) => fault === undefined),
      schedule: Schedule.spaced("50 millis"),
    }).pipe(Effect.timeoutOption(joinWithin))
  })
