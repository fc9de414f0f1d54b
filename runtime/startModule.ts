import { Context, Deferred, type Duration, Effect, Latch, Layer, Scope } from "effect"
import type { Settings } from "./config.ts"
import { makeConsumer } from "./delivery/consumer.ts"
import * as DeadLetters from "./admin/DeadLetters.ts"
import { clocksAgree, housekeepingTurn } from "./delivery/housekeeping.ts"
import { bindLog, type OtherLog } from "./delivery/logIdentity.ts"
import { makePositions } from "./delivery/positions.ts"
import { makeReplay } from "./delivery/replay.ts"
import { positionsBell } from "./delivery/reset.ts"
import { makeRetryTurn } from "./delivery/retry.ts"
import { EventBus } from "./events/EventBus.ts"
import type { Check } from "./health/health.ts"
import { backOff, loop, Loops } from "./loop/loop.ts"
import { Faults } from "./module/Faults.ts"
import { faultyReaction, faultyRelayLog } from "./module/faulty.ts"
import { Bound, type Module } from "./module/Module.ts"
import { atMost } from "./module/Reaction.ts"
import { makeWallClockTrust } from "./loop/wallClock.ts"
import { relay } from "./outbox/relay.ts"
import { bells, portsOf } from "./ports.ts"
import { Database, Databases } from "./sql/Database.ts"
import { onceThere } from "./sql/onceThere.ts"
import { work } from "./tasks/worker.ts"
import { retentionOf } from "./topics.ts"

/** The modules whose start waits for their database, with the reason. */
export type Waits = Map<string, string>

const reportWait =
  ({ name }: Module, waits: Waits) =>
  (reason: string | undefined) =>
    Effect.suspend(() => {
      if (reason === waits.get(name)) return Effect.void
      if (reason === undefined) {
        waits.delete(name)
        return Effect.logInfo("The database is available; the start continues")
      }
      waits.set(name, reason)
      return Effect.logWarning(`The start waits for the database: ${reason}`)
    })

const databaseCheck = ({ name }: Module) => `database.${name}`

/** The check of a module that has not started yet. */
export const startCheck = (module: Module, waits: Waits): Check => ({
  name: databaseCheck(module),
  needed: true,
  fault: Effect.sync(() => waits.get(module.name) ?? "starting"),
})

interface Options {
  readonly module: Module
  readonly settings: Settings
  readonly waits: Waits
  /** Ends the program. */
  readonly end: (why: OtherLog) => Effect.Effect<unknown>
}

/**
 * Builds one module separately and starts its loops; `consume` starts its consumer. Effect shares layers by reference, so
 * modules merged into one layer would share the first one's outbox.
 */
export const startModule = ({ module, settings, waits, end }: Options) =>
  Effect.gen(function* () {
    const { name } = module
    const opening = Layer.build(portsOf(module, (yield* Databases).of(name)))
    const ports = yield* onceThere(opening, reportWait(module, waits))
    const built = yield* Layer.build(Layer.provide(module.layer, Layer.succeedContext(ports)))
    const bound = Context.get(built, Bound)
    const faults = yield* Faults
    const own = bound.reactions.map(atMost(settings.retryAttempts))
    const reactions = faults === undefined ? own : own.map(faultyReaction(faults))
    const started = startLoops({ module, settings, end, reactions, tasks: bound.tasks })
    // Loops end in parallel, as modules do (`compose.ts`).
    const looping = yield* Scope.fork(yield* Effect.scope, "parallel")
    const { checks, ...loops } = yield* Effect.provideContext(started, ports).pipe(Scope.provide(looping))
    return {
      name,
      ports,
      reactions,
      publishes: module.publishes,
      audit: bound.audit,
      journey: bound.journey,
      tasks: bound.tasks.map((task) => task.name),
      checks: [...checks, ...bound.checks.map((check) => ({ ...check, needed: false }))],
      ...loops,
    }
  }).pipe(Effect.annotateLogs("module", module.name))

export type StartedModule = Effect.Success<ReturnType<typeof startModule>>

/** Starts the loops of a module (`loop.ts`). */
const startLoops = ({
  module,
  settings,
  end,
  reactions,
  tasks,
}: Omit<Options, "waits"> & Pick<Bound["Service"], "reactions" | "tasks">) =>
  Effect.gen(function* () {
    const { name } = module
    const database = yield* Database
    /** A latch that the bell opens, whichever instance rings it. */
    const woken = (bell: string) =>
      Effect.tap(
        Effect.sync(() => Latch.makeUnsafe(true)),
        (latch) => database.bell(bell).opens(latch),
      )
    const repeat = <E, R>(
      what: string,
      options: {
        readonly turn: Effect.Effect<boolean | number, E, R>
        readonly wake: Latch.Latch
        readonly poll: Duration.Input
      },
    ) => Effect.forkScoped(loop({ ...options, name: `${name}.${what}` }))

    const logKnown = yield* awaitLog(module, end)
    const moved = Latch.makeUnsafe(false)
    const positions = yield* makePositions({ module: name, reactions, moved, logKnown })
    const replay = yield* makeReplay({ module: name, reactions, positions })
    const group = `${name}_service_group`
    const bus = yield* EventBus
    const consume = bus.consume({
      group,
      topics: [...new Set(reactions.map((reaction) => reaction.event.type))],
      handle: yield* makeConsumer({ module: name, reactions, positions }),
      positions,
    })
    yield* repeat("positions", { turn: positions.watch, wake: yield* woken(positionsBell), poll: "2 seconds" })
    yield* repeat("replay", { turn: replay.turn, wake: replay.wake, poll: "10 seconds" })
    const faults = yield* Faults
    const relaying = Effect.provideService(
      relay({ module: name, bell: database.bell(bells.outbox) }),
      EventBus,
      faults === undefined ? bus : faultyRelayLog(bus, name, faults),
    )
    yield* Effect.forkScoped(Effect.andThen(logKnown, relaying))

    const retryWake = Latch.makeUnsafe(true)
    const retryTurn = yield* makeRetryTurn({ module: name, reactions })
    yield* repeat("retry", { turn: retryTurn, wake: retryWake, poll: "1 second" })
    const deadLetters = yield* Layer.build(
      DeadLetters.layer({ module: name, reactions, changed: Effect.asVoid(retryWake.open) }),
    )
    yield* repeat("housekeeping", {
      turn: yield* makeHousekeeping(module, settings),
      wake: Latch.makeUnsafe(false),
      poll: "1 minute",
    })
    const worker = yield* work({ module: name, tasks, wake: yield* woken(bells.tasks) })
    return {
      group,
      consume,
      replay,
      deadLetters: Context.get(deadLetters, DeadLetters.DeadLetters),
      lag: positions.lag(),
      standing: positions.standing,
      checks: yield* checksOf(module, {
        consumer: `${group}.consumer`,
        lost: positions.lost,
        ...(tasks.length === 0 ? {} : { tasks: worker.fault }),
      }),
    }
  })

/** Succeeds once the module's database is known to belong to the event log; with another log the program ends. */
const awaitLog = ({ name }: Module, end: Options["end"]) =>
  Effect.gen(function* () {
    const known = yield* Deferred.make<void>()
    yield* bindLog(name).pipe(
      Effect.retry({ while: (error) => error._tag !== "OtherLog", schedule: backOff }),
      Effect.catchTag(["EventBusError", "SqlError"], Effect.die),
      Effect.andThen(Deferred.succeed(known, undefined)),
      Effect.tapError(end),
      Effect.forkScoped,
    )
    return Deferred.await(known)
  })

const makeHousekeeping = (module: Module, settings: Settings) =>
  Effect.gen(function* () {
    const { writable } = yield* Database
    const trusted = yield* makeWallClockTrust
    const housekeeping = housekeepingTurn({
      reactions: module.reactions,
      retention: (event) => retentionOf(event, settings),
    })
    return Effect.gen(function* () {
      yield* writable
      return (yield* trusted) && (yield* clocksAgree) ? yield* housekeeping : false
    })
  })

/** What `/readyz` shows of a module's loops and database. */
const checksOf = (
  module: Module,
  faults: { readonly consumer: string; readonly lost: Check["fault"]; readonly tasks?: Check["fault"] },
) =>
  Effect.gen(function* () {
    const { name } = module
    const { faultOf } = yield* Loops
    const { probe, writable } = yield* Database
    const ofDatabase = Effect.match(Effect.andThen(probe, writable), {
      onSuccess: () => undefined,
      onFailure: (error) => error.reason,
    })
    const loops = ["relay", "retry", "housekeeping", "positions", "replay"]
    const checks: ReadonlyArray<readonly [string, Check["fault"]]> = [
      ["consumer", faultOf(faults.consumer)],
      ["records", faults.lost],
      ...loops.map((what) => [what, faultOf(`${name}.${what}`)] as const),
      ...(faults.tasks === undefined ? [] : [["tasks", faults.tasks] as const]),
    ]
    return [
      { name: databaseCheck(module), needed: true, fault: ofDatabase },
      ...checks.map(([what, fault]) => ({ name: `${what}.${name}`, needed: false, fault })),
    ] satisfies ReadonlyArray<Check>
  })
