import { Effect } from "effect"
import type { Partition, Received } from "../../events/EventBus.ts"
import { arrive, claim, makeCall, recordResult, unmade, unrecorded } from "./calls.ts"
import { below, pick } from "./plan.ts"
import type { Mishap, Process } from "./Process.ts"
import type { Simulation } from "./Simulation.ts"

const second = 1_000
const minute = 60 * second

/** A step that can be taken next. The greater its weight, the more likely it is. */
interface Step {
  readonly weight: number
  readonly run: Effect.Effect<unknown, unknown>
}

/** Moves the clock (ms); tasks and dead letters may be due then. */
export const passTime = ({ world, processes, note }: Simulation, millis: number) =>
  Effect.sync(() => {
    world.clock.advance(millis)
    for (const process of processes) process.timePassed()
    note(`${millis < minute ? `${millis / second} s` : `${(millis / minute).toFixed(1)} min`} pass`)
  })

/** Moves the clock to the next time at which a task or a dead letter is due, if there is one. */
const passUntilDue = (simulation: Simulation) =>
  Effect.gen(function* () {
    const { sql, clock } = simulation.world
    const now = clock.now()
    const tables = simulation.processes.flatMap(({ name }) => [`"${name}".task`, `"${name}".held`])
    const dues = sql.literal(tables.map((table) => `select due from ${table}`).join(" union all "))
    const [row] = yield* sql<{ due: Date | null }>`select min(due) as due from (${dues}) d where due > ${new Date(now)}`
    if (row!.due !== null) yield* passTime(simulation, row!.due.getTime() - now)
  })

/** Every step that can be taken now. */
export const possibleSteps = (simulation: Simulation): ReadonlyArray<Step> => {
  const { processes } = simulation
  const steps = [
    ...processes.flatMap((process) => [...readingSteps(simulation, process), ...turningSteps(simulation, process)]),
    ...outerSteps(simulation),
  ]
  return [...steps, ...timeSteps(simulation, weightOf(steps))]
}

export const weightOf = (steps: ReadonlyArray<Step>) => steps.reduce((sum, { weight }) => sum + weight, 0)

/** What comes from outside: requests of customers, and late requests that reach the provider. */
const outerSteps = (simulation: Simulation): ReadonlyArray<Step> => {
  const { plan, unplaced, cancellable, lateRequests, placeOrder, cancelOrder } = simulation
  return [
    ...(unplaced.length > 0 ? [{ weight: plan.pace("place"), run: placeOrder }] : []),
    ...(cancellable.length > 0 ? [{ weight: 0.12 * plan.pace("cancel"), run: cancelOrder }] : []),
    ...(lateRequests.length > 0 ? [{ weight: 0.2 * plan.pace("arrive"), run: arrive(simulation) }] : []),
  ]
}

/** Time passes rarely while there is much to do, or while a call is marked: one that waits too long is not made. */
const timeSteps = (simulation: Simulation, weightOfWork: number): ReadonlyArray<Step> => {
  const { random } = simulation.plan
  const weight = (0.02 + 0.03 * weightOfWork) * (simulation.calls.length > 0 ? 0.3 : 1)
  return [
    { weight, run: passUntilDue(simulation) },
    { weight, run: Effect.suspend(() => passTime(simulation, (1 + below(random, 8)) * second)) },
    { weight: weight / 4, run: Effect.suspend(() => passTime(simulation, (1 + below(random, 16)) * minute)) },
  ]
}

/** Notifications and lists decide nothing about an order, so fewer steps are spent on them. */
const worthOf = ({ name }: Process) => (name === "notification" || name === "user" ? 0.25 : 1)

/** Each partition is read by itself, so topics come in any order. */
const readingSteps = (simulation: Simulation, process: Process): ReadonlyArray<Step> =>
  process.partitions
    .filter((place) => process.unread(place) > 0)
    .map((place) => ({
      weight: worthOf(process) * simulation.plan.pace(`${process.name} ${place.topic}`),
      run: readStep(simulation, process, place),
    }))

const readStep = ({ world, plan, note }: Simulation, process: Process, place: Partition) =>
  Effect.gen(function* () {
    const { random, chances } = plan
    const mishapOf = (records: ReadonlyArray<Received>): Mishap => {
      if (random() < chances.killBeforeCommit) return { kill: "before the commit" }
      if (random() < chances.killAfterCommit) return { kill: "after the commit" }
      if (random() >= chances.reactionFails) return {}
      const id = pick(random, records).headers["ce_id"]!
      return { fails: { id, until: world.clock.now() + (1 + below(random, 20)) * second } }
    }
    const isAgain = random() < chances.readAgain
    if (isAgain) process.goBack(place, 1 + below(random, 2))
    const count = 1 + below(random, Math.min(process.unread(place), 3))
    const mishap = mishapOf(process.peek(place, count))
    const isTaken = yield* process.consume(place, count, mishap)
    const from = isAgain ? ", from earlier records on" : ""
    const how = mishap.kill ? `, and is killed ${mishap.kill}` : mishap.fails ? "; its reactions fail" : ""
    const end = isTaken ? "" : " (rolled back)"
    note(`${process.name} reads ${count} of ${place.topic}/${place.partition}${from}${how}${end}`)
  })

/** Turns of the loops that may have something to do. */
const turningSteps = (simulation: Simulation, process: Process): ReadonlyArray<Step> => {
  const { plan, note } = simulation
  const { random, chances, pace } = plan
  const { due, name, hasTasks } = process
  const relay = Effect.suspend(() => {
    const isKilled = random() < chances.killAfterSend
    note(`${name} relays its events${isKilled ? ", and is killed before it deletes them" : ""}`)
    return process.relay(isKilled)
  })
  const retry = Effect.tap(process.retry, () => Effect.sync(() => note(`${name} retries its dead letters`)))
  const hasUnmade = unmade(simulation, process).length > 0
  const hasUnrecorded = unrecorded(simulation, process).length > 0
  const worth = worthOf(process)
  const claimSome = Effect.suspend(() => claim(simulation, process, 1 + below(random, 3)))
  return [
    ...(due.relay ? [{ weight: 1.5 * worth * pace(`${name} relay`), run: relay }] : []),
    ...(due.tasks && hasTasks ? [{ weight: worth * pace(`${name} tasks`), run: claimSome }] : []),
    ...(hasUnmade ? [{ weight: 2 * worth * pace(`${name} calls`), run: makeCall(simulation, process) }] : []),
    ...(hasUnrecorded ? [{ weight: 2 * worth * pace(`${name} results`), run: recordResult(simulation, process) }] : []),
    ...(due.retry ? [{ weight: 0.5 * worth * pace(`${name} retry`), run: retry }] : []),
  ]
}
