import { Cause, Clock, Effect, Exit, Random as EffectRandom, References } from "effect"
import { arrive, claim, completeAll } from "./calls.ts"
import { faultsIn } from "./oracle.ts"
import type { Plant } from "./Plant.ts"
import type { Process } from "./Process.ts"
import { makeSimulation, type Simulation } from "./Simulation.ts"
import { passTime, possibleSteps, weightOf } from "./steps.ts"
import type { World } from "./World.ts"

/** What came of a run: the rules that do not hold at its end, and a line for each step. */
export interface Outcome {
  readonly seed: number
  /** It came to its end, and was judged; false: the only fault is the error that stopped it. */
  readonly isComplete: boolean
  readonly faults: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
}

const second = 1_000
const minute = 60 * second
const hour = 60 * minute

/** Steps that are chosen at random in one run. */
const randomSteps = 100

/**
 * Runs all modules on one seed. First it takes steps at random: events are read late, again, and in any order across
 * topics, processes are killed, calls are lost, late or without an answer, time passes. Then nothing goes wrong any
 * more, except that late requests still arrive, and time passes until all is done. Then it judges the end. One seed
 * always gives the same run.
 */
export const simulate = (world: World, seed: number, plant: Plant = {}): Effect.Effect<Outcome> => {
  const trace: Array<string> = []
  return run(world, seed, plant, trace).pipe(
    Effect.scoped,
    Effect.provideService(Clock.Clock, world.clock.clock),
    EffectRandom.withSeed(seed),
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.withTracerEnabled(false),
    Effect.exit,
    Effect.map((exit) => ({
      seed,
      isComplete: Exit.isSuccess(exit),
      trace,
      faults: Exit.isSuccess(exit) ? exit.value : [`the run failed: ${Cause.pretty(exit.cause)}`],
    })),
  )
}

const run = (world: World, seed: number, plant: Plant, trace: Array<string>) =>
  Effect.gen(function* () {
    const simulation = yield* makeSimulation(world, seed, plant, trace)
    for (let n = 0; n < randomSteps; n++) yield* takeStep(simulation)
    yield* complete(simulation)
    return yield* faultsIn(simulation)
  })

const takeStep = (simulation: Simulation) =>
  Effect.gen(function* () {
    for (const process of simulation.processes) yield* process.look
    const steps = possibleSteps(simulation)
    let dice = simulation.plan.random() * weightOf(steps)
    yield* (steps.find(({ weight }) => (dice -= weight) < 0) ?? steps.at(-1)!).run
    simulation.world.clock.advance(1)
  })

/** Waits until all is done: the back-off, a payment that is given up or a hold that expires, and 24 h of look-ups. */
const waits = [10 * second, 21 * minute, 2 * hour, 25 * hour, hour]

const complete = (simulation: Simulation) =>
  Effect.gen(function* () {
    const { plan, lateRequests, note, unplaced } = simulation
    note("from now on nothing goes wrong")
    while (unplaced.length > 0) yield* simulation.placeOrder
    yield* settle(simulation)
    for (const millis of waits) {
      while (lateRequests.length > 0 && (millis > 2 * hour || plan.random() < 0.5)) yield* arrive(simulation)
      if (millis > 21 * minute && lateRequests.length === 0 && !(yield* hasTasks(simulation))) break
      yield* passTime(simulation, millis)
      yield* settle(simulation)
    }
  })

const hasTasks = ({ world: { sql } }: Simulation) =>
  Effect.map(
    sql<{ any: boolean }>`
      select exists (select from payment.task) or exists (select from inventory.task)
        or exists (select from notification.task) as any`,
    ([row]) => row!.any,
  )

/** Modules that need more rounds than this cause each other work for ever. */
const mostRounds = 200

/** Runs all loops until none has anything to do. */
const settle = (simulation: Simulation) =>
  Effect.gen(function* () {
    for (let rounds = 0; ; rounds++) {
      if (rounds > mostRounds)
        return yield* Effect.die(new Error(`the loops still have something to do after ${mostRounds} rounds`))
      let isMoving = false
      for (const process of simulation.processes) isMoving = (yield* turn(simulation, process)) || isMoving
      isMoving = (yield* completeAll(simulation)) || isMoving
      if (!isMoving) return
    }
  })

/** One turn of all loops of a module; says whether there was something to do. */
const turn = (simulation: Simulation, process: Process) =>
  Effect.gen(function* () {
    let isMoving = false
    yield* process.look
    if (process.due.relay) {
      yield* process.relay(false)
      isMoving = true
    }
    for (const place of process.partitions) {
      const unread = process.unread(place)
      if (unread === 0 || !(yield* process.consume(place, unread))) continue
      simulation.note(`${process.name} reads ${unread} of ${place.topic}/${place.partition}`)
      isMoving = true
    }
    if (process.due.retry && (yield* process.retry)) isMoving = true
    if (process.due.tasks && process.hasTasks) isMoving = (yield* claim(simulation, process, 50)) || isMoving
    yield* process.look
    return isMoving || process.due.relay
  })
