import { type Duration, Effect, Fiber, type Latch, Schedule } from "effect"
import { loop, Loops } from "../loop/loop.ts"
import type { Task } from "../module/Task.ts"
import { Database } from "../sql/Database.ts"
import { type Called, type Finished, makeSteps, type Steps } from "./steps.ts"

/** Maximum number of concurrent calls of one module in one process. Each of its tasks has an equal share. */
export const mostCalls = 64

/** How long stopping waits for running calls; unfinished calls become unknown. */
const closeWithin = "5 seconds"

/** While the database is unavailable, results wait in memory, to be recorded soon after it is back, before the marks expire. */
const recording = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]).pipe(
  Schedule.jittered,
)

/** Maximum number of failed rows that `/readyz` counts. */
const mostFailed = 100

/**
 * Runs the tasks of a module until the scope closes: claims due rows, makes calls concurrently, and records results in
 * batches. Woken by `wake`, and by a poll for rows that become due.
 */
export const work = (options: {
  readonly module: string
  readonly tasks: ReadonlyArray<Task<never>>
  readonly wake: Latch.Latch
  /** How often the worker polls for rows that become due, or whose notification was lost. */
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
      /** Why the loop fails, or which tasks failed by a defect; undefined when there is no fault. */
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

/** The running calls of one task, at most `share`, so that calls of other tasks never wait for them. */
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
        // An expired mark ends this too: the row then belongs to another claim, and the result changes nothing.
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
      /** Starts calls of due rows up to the share; returns whether there may be more at once. */
      fill: Effect.gen(function* () {
        const room = share - running.size
        if (room <= 0) return false
        const { taken, called } = yield* steps.claim(task, room)
        yield* Effect.forEach(called, start, { discard: true })
        return taken === room && !isFull()
      }),
    }
  })

/** Repeats turns until the scope closes; then waits for the running turn and calls. */
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
        // An interrupted turn may have marked calls that are then never made.
        const ended = Effect.andThen(
          isTurning ? Fiber.await(looping) : Fiber.interrupt(looping),
          Effect.suspend(() => Fiber.awaitAll(calls())),
        )
        yield* Effect.timeoutOption(ended, closeWithin)
        yield* Fiber.interruptAll([looping, ...calls()])
      }),
    )
  })
