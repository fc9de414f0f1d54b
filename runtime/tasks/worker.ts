import { type Duration, Effect, Fiber, type Latch, Schedule } from "effect"
import { loop, Loops } from "../loop/loop.ts"
import type { Task } from "../module/Task.ts"
import { Database } from "../sql/Database.ts"
import { type Called, type Finished, makeSteps, type Steps } from "./steps.ts"

/** Calls of one module that are under way at once, in one process. Each of its tasks has an equal share of them. */
export const mostCalls = 64

/** Stopping waits this long for calls that are under way; what is left is unknown. */
const closeWithin = "5 seconds"

/** While the database is away results wait in memory: recorded soon after it is back, before their marks are too old. */
const recording = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]).pipe(
  Schedule.jittered,
)

/** Failed rows that `/readyz` counts. */
const mostFailed = 100

/**
 * Works on the tasks of a module until the scope closes: claims what is due, calls side by side, and records results
 * together. Woken by `wake`, with a poll for what becomes due.
 */
export const work = (options: {
  readonly module: string
  readonly tasks: ReadonlyArray<Task<never>>
  readonly wake: Latch.Latch
  /** How often it looks for what becomes due, and for what no bell told. */
  readonly poll?: Duration.Input
}) =>
  Effect.gen(function* () {
    const { tasks, wake } = options
    const steps = yield* makeSteps()
    const share = Math.max(1, Math.floor(mostCalls / tasks.length))
    const lanes = yield* Effect.forEach(tasks, (task) => makeLane({ task, share, wake, steps }))
    const names = tasks.map(({ name }) => name)

    const turn = Effect.gen(function* () {
      const due = yield* steps.namesDue(names)
      let hasMore = false
      for (const lane of lanes) {
        if (due.has(lane.name)) hasMore = (yield* lane.fill) || hasMore
      }
      return hasMore
    })

    const name = `${options.module}.tasks`
    const { faultOf } = yield* Loops
    const { poll = "1 second" } = options
    const calls = () => lanes.flatMap((lane) => lane.calls())
    if (tasks.length > 0) yield* runUntilClosed({ name, turn, wake, poll, calls })

    return {
      /** Why the tasks do not get on, or which of them failed by a defect; undefined when nothing is wrong. */
      fault: Effect.gen(function* () {
        const fault = yield* faultOf(name)
        if (fault !== undefined) return fault
        const failed = yield* Effect.orElseSucceed(steps.failed(names, mostFailed), () => [])
        const [first] = failed
        if (first === undefined) return undefined
        const count = failed.length < mostFailed ? failed.length : `at least ${mostFailed}`
        return `failed tasks: ${count}, such as ${first.name} ${first.id}`
      }),
    }
  })

/** The calls of one task that are under way, at most `share`: those of another task never wait for them. */
const makeLane = (options: {
  readonly task: Task<never>
  readonly share: number
  readonly wake: Latch.Latch
  readonly steps: Steps
}) =>
  Effect.gen(function* () {
    const { task, share, wake, steps } = options
    const { coalesce } = yield* Database
    const record = yield* coalesce((finished: ReadonlyArray<Finished>) =>
      Effect.as(
        Effect.orDie(steps.finish(task, finished)),
        finished.map(() => undefined),
      ),
    )
    const running = new Set<Fiber.Fiber<void>>()
    const isFull = () => running.size >= share

    const call = (called: Called) =>
      Effect.gen(function* () {
        const result = yield* steps.make(task, called)
        // A mark that is too old ends this too: the row is then another claim's, and the result changes nothing.
        yield* Effect.retry(Effect.sandbox(record({ ...called, result })), recording)
      }).pipe(Effect.ignoreCause({ log: "Debug" }))

    const start = (called: Called) =>
      Effect.map(Effect.forkDetach(call(called)), (fiber) => {
        running.add(fiber)
        fiber.addObserver(() => {
          const wasFull = isFull()
          running.delete(fiber)
          if (wasFull) wake.openUnsafe()
        })
      })

    return {
      name: task.name,
      calls: () => [...running],
      /** Starts what is due, as far as there is room; true when there may be more at once. */
      fill: Effect.gen(function* () {
        const room = share - running.size
        if (room <= 0) return false
        const { taken, called } = yield* steps.claim(task, room)
        yield* Effect.forEach(called, start, { discard: true })
        return taken === room && !isFull()
      }),
    }
  })

/** Repeats turns until the scope closes; then waits for the turn and the calls that are under way. */
const runUntilClosed = (options: {
  readonly name: string
  readonly turn: Effect.Effect<boolean, unknown>
  readonly wake: Latch.Latch
  readonly poll: Duration.Input
  readonly calls: () => ReadonlyArray<Fiber.Fiber<void>>
}) =>
  Effect.gen(function* () {
    const { calls } = options
    let isOver = false
    let isTurning = false
    const turn = Effect.suspend(() => {
      isTurning = true
      return Effect.ensuring(
        options.turn,
        Effect.sync(() => void (isTurning = false)),
      )
    })
    const looping = yield* Effect.forkDetach(loop({ ...options, turn, isOver: () => isOver }))
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        isOver = true
        // A turn that is interrupted may have marked calls that are then never made.
        const ended = Effect.andThen(
          isTurning ? Fiber.await(looping) : Fiber.interrupt(looping),
          Effect.suspend(() => Fiber.awaitAll(calls())),
        )
        yield* Effect.timeoutOption(ended, closeWithin)
        yield* Fiber.interruptAll([looping, ...calls()])
      }),
    )
  })
