import { Deferred, Effect, Exit } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { SqlError } from "effect/sql"
import { bells } from "../../ports.ts"
import { makeConsumer } from "../../delivery/consumer.ts"
import { makeRetryTurn } from "../../delivery/retry.ts"
import { type Partition, partitionName, type Received } from "../../events/EventBus.ts"
import { atMost, type Reaction } from "../../module/Reaction.ts"
import type { CallResult, Task } from "../../module/Task.ts"
import { relayTurn } from "../../outbox/relay.ts"
import { type Bell, Database } from "../../sql/Database.ts"
import { type Called, makeSteps } from "../../tasks/steps.ts"
import type { SimulatedClock } from "./clock.ts"
import type { Log } from "./Log.ts"
import type { Plant } from "./Plant.ts"
import type { Running } from "./World.ts"

/** The attempts of an event before it is parked. */
const retryAttempts = 10

const connectionLost = Effect.die(
  new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause: new Error("killed"), message: "killed" }) }),
)

/** A call that is marked, with its result once it was made. */
export interface Call {
  readonly task: Task<never>
  readonly called: Called
  result?: CallResult<unknown>
}

/** What goes wrong in one `consume`. */
export interface Mishap {
  /** The process is killed after a reaction ran, before the commit; or after the commit, before it goes on reading. */
  readonly kill?: "before the commit" | "after the commit"
  /** The reactions to this event fail until then (ms). */
  readonly fails?: { readonly id: string; readonly until: number }
}

/** Whether a bell has rung since the last look. */
const makeLook = (bell: Bell) =>
  Effect.map(bell.next, (first) => {
    let next = first
    return Effect.gen(function* () {
      const hasRung = yield* Deferred.isDone(next)
      if (hasRung) next = yield* bell.next
      return hasRung
    })
  })

/** One module of a process. Its loops do not run by themselves: each of their turns is a function. */
export const makeProcess = (
  { module, ports, sql, positions, partitions, ...bound }: Running,
  { log, clock, plant }: { readonly log: Log; readonly clock: SimulatedClock; readonly plant: Plant },
) =>
  Effect.gen(function* () {
    const failing = new Map<string, number>()
    let isKilled = false
    /** There may be dead letters that are tried again. */
    let hasOpen = false
    const database = yield* Database
    const isOutboxFilled = yield* makeLook(database.bell(bells.outbox))
    const isTaskAdded = yield* makeLook(database.bell(bells.tasks))
    /** Which loops may have something to do. */
    const due = { relay: false, tasks: false, retry: false }
    const next = new Map<string, number>()

    const faulty = (reaction: Reaction<never>): Reaction<never> => ({
      ...reaction,
      run: (events) =>
        Effect.suspend(() => {
          const isFailing = events.some(({ id }) => (failing.get(id) ?? 0) > clock.now())
          if (isFailing) return Effect.die(new Error("a planned failure"))
          return Effect.andThen(
            reaction.run(events),
            Effect.suspend(() => (isKilled ? connectionLost : Effect.void)),
          )
        }),
    })

    const reactions = bound.reactions
      .map(atMost(retryAttempts))
      .map((reaction) => faulty(plant.reaction?.(reaction, sql) ?? reaction))
    const tasks = bound.tasks.map((task) => plant.task?.(task, sql) ?? task)
    const steps = yield* makeSteps()
    const retryTurn = yield* makeRetryTurn({ module: module.name, reactions })
    const starting = makeConsumer({
      module: module.name,
      reactions,
      ...(!plant.movesFirst && { positions }),
      ...(plant.inbox && { inbox: plant.inbox }),
    }).pipe(Effect.provideContext(ports))
    let handle = yield* starting

    const look = Effect.gen(function* () {
      if (yield* isOutboxFilled) due.relay = true
      if (yield* isTaskAdded) due.tasks = true
    })
    const nextOf = (place: Partition) => next.get(partitionName(place)) ?? 0
    const unread = (place: Partition) => log.read(place).length - nextOf(place)

    const kept = ({ topic, partition }: Partition) =>
      Effect.map(
        sql<{ next: bigint }>`
          select min(next) as next from position where topic = ${topic} and partition = ${partition}`,
        ([row]) => Number(row!.next),
      )

    /** Takes charge of `count` records of a partition, from the position on. False: that failed, and was rolled back. */
    const consume = (place: Partition, count: number, { kill, fails }: Mishap = {}) =>
      Effect.gen(function* () {
        const from = nextOf(place)
        const records = log.read(place).slice(from, from + count) as unknown as NonEmptyReadonlyArray<Received>
        const span = { ...place, from, next: from + records.length }
        if (fails !== undefined) {
          failing.set(fails.id, fails.until)
          hasOpen = true
          due.retry = true
        }
        if (plant.movesFirst) yield* positions.moveAll([span])
        isKilled = kill === "before the commit"
        const exit = yield* Effect.exit(handle(records, [span]))
        isKilled = false
        if (Exit.isSuccess(exit) && kill === undefined) next.set(partitionName(place), span.next)
        if (Exit.isFailure(exit)) next.set(partitionName(place), yield* kept(place))
        if (kill !== undefined) handle = yield* starting
        return Exit.isSuccess(exit)
      })

    let isRelayKilled = false
    const send: Log["bus"]["send"] = (records) =>
      isRelayKilled ? Effect.andThen(log.bus.send(records), connectionLost) : log.bus.send(records)
    const newRelay = () => relayTurn(sql, { send }, `/galleria/${module.name}`)
    let relayOnce = newRelay()

    /** Sends the events in the outbox. When it is killed before it deletes them, the next turn sends them again. */
    const relay = (isKilled: boolean) =>
      Effect.gen(function* () {
        isRelayKilled = isKilled
        const exit = yield* Effect.exit(relayOnce)
        due.relay = Exit.isFailure(exit)
        if (Exit.isFailure(exit)) relayOnce = newRelay()
      })

    /** Claims at most `limit` rows of each task that are due. */
    const claim = (limit: number) =>
      Effect.gen(function* () {
        const names = yield* steps.namesDue(tasks.map(({ name }) => name))
        due.tasks = names.size > 0
        const calls: Array<Call> = []
        for (const task of tasks.filter(({ name }) => names.has(name))) {
          const { called } = yield* steps.claim(task, limit)
          calls.push(...called.map((called) => ({ task, called })))
        }
        return calls
      })

    const finish = ({ task, called, result }: Call) =>
      Effect.tap(steps.finish(task, [{ ...called, result: result! }]), () => Effect.sync(() => void (due.tasks = true)))

    const retry = Effect.gen(function* () {
      due.retry = (yield* retryTurn) === true
      const [row] = yield* sql<{ any: boolean }>`
        select exists (select from held where status in ('waiting', 'retrying')) as any`
      hasOpen = row!.any
      return due.retry
    })

    return {
      name: module.name,
      partitions,
      hasTasks: tasks.length > 0,
      due,
      /** Looks which loops have something to do since the last look. */
      look,
      /** Tasks and dead letters may be due. */
      timePassed: () => void Object.assign(due, { tasks: true, retry: hasOpen }),
      unread,
      peek: (place: Partition, count: number) => log.read(place).slice(nextOf(place), nextOf(place) + count),
      /** Reads the last `by` records before the position again. */
      goBack: (place: Partition, by: number) => void next.set(partitionName(place), Math.max(0, nextOf(place) - by)),
      consume,
      relay,
      claim,
      make: ({ task, called }: Call) => steps.make(task, called),
      finish,
      retry,
    }
  }).pipe(Effect.provideContext(ports))

export type Process = Effect.Success<ReturnType<typeof makeProcess>>
