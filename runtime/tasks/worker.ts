import { Cause, Clock, Duration, Effect, Exit, Fiber, type Latch, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { randomUUID } from "node:crypto"
import { SqlClient } from "effect/sql"
import { faultOf } from "../delivery/fault.ts"
import { clean } from "../delivery/outcome.ts"
import { textOf } from "../module/defect.ts"
import { backOff, loop, Loops } from "../module/loop.ts"
import { delayAfter } from "../module/schedule.ts"
import { type CallResult, type Ended, type Next, NotMade, type Task } from "../module/Task.ts"
import { Database } from "../sql/Database.ts"
import { type Claimed, type Due, taskTable, type TaskTable, type Waiting } from "./taskTable.ts"

/** Beyond a call's deadline its result has this long to be recorded; then the mark is too old. */
const recordWithinMillis = 10_000

/** A row of a task that this release does not have is looked at again after this: another one may have it. */
const unknownTaskMillis = 60_000

/** A call did not end within its deadline. */
class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", { millis: Schema.Number }) {
  override get message(): string {
    return `no answer within ${this.millis / 1_000} s`
  }
}

/** A row that is called: `call` is what its task's `begin` said. */
export interface Called extends Claimed {
  readonly task: Task<never>
  readonly call: unknown
  /** When the mark is too old (ms). */
  readonly until: number
}

/** A call with its result. */
export interface Finished extends Called {
  readonly result: CallResult<unknown>
}

/**
 * Does the tasks of one module, step by step (`module/Task.ts`): `claim` decides and marks, `make` calls, `finish`
 * records. Each step may be the last of its process; any number of instances may work on one table.
 */
export const makeSteps = (options: {
  readonly module: string
  readonly tasks: ReadonlyArray<Task<never>>
  /** The statements it works by; others only to show that the tests notice. */
  readonly table?: (sql: SqlClient.SqlClient) => TaskTable
}) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const table = (options.table ?? taskTable)(sql)
    const tasks = new Map(options.tasks.map((task) => [task.name, task]))
    /** Rows that failed by a defect of their task, and what it said last. */
    const failing = new Map<string, string>()

    /** Decides what to call for locked rows of one task, and marks them. */
    const begin = (task: Task<never>, rows: NonEmptyReadonlyArray<Due>, now: number) =>
      Effect.gen(function* () {
        const calls = yield* task.begin(rows.map(({ id, isUnknown }) => ({ id, isUnknown })) as never)
        const until = now + task.deadlineMillis + recordWithinMillis
        const holder = randomUUID()
        const called = rows.flatMap((row, n) =>
          calls[n] === undefined
            ? []
            : [{ ...row, attempts: row.attempts + 1, task, call: calls[n], holder, until } satisfies Called],
        )
        const over = rows.filter((_, n) => calls[n] === undefined)
        if (called.length > 0) yield* table.mark(called, holder, new Date(until))
        if (over.length > 0) yield* table.end(over)
        for (const { name, id } of rows) failing.delete(nameOf({ name, id }))
        return called
      })

    const together = (limit: number) =>
      database.transaction(
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const rows = yield* table.lockDue(new Date(now), limit)
          const groups = Map.groupBy(rows, ({ name }) => name)
          const called: Array<Called> = []
          for (const [name, group] of groups) {
            const task = tasks.get(name)
            if (task === undefined) yield* table.wait(group.map((row) => unknownTask(row, now)))
            else called.push(...(yield* begin(task, group as never, now)))
          }
          return { rows, called }
        }),
      )

    /** One row by itself, after it failed together with others; when it fails again, it waits. */
    const alone = (row: Due, task: Task<never>) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const exit = yield* Effect.exit(
          database.transaction(
            Effect.gen(function* () {
              const [locked] = yield* table.lockOne(row, new Date(now))
              return locked === undefined ? [] : yield* begin(task, [locked], now)
            }),
          ),
        )
        if (Exit.isSuccess(exit)) return exit.value
        if (faultOf(exit.cause) !== "event") return yield* Effect.failCause(exit.cause)
        yield* postpone(row, task, exit.cause)
        return []
      })

    /** Lets a row wait that failed by a defect of its task, and says so. */
    const postpone = (row: Due, task: Task<never>, cause: Cause.Cause<unknown>) =>
      Effect.gen(function* () {
        const error = clean(textOf(Cause.squash(cause)))
        failing.set(nameOf(row), error)
        yield* Effect.logWarning(`${row.name} failed for ${row.id}; it is tried again later`, cause)
        const due = yield* dueBy(task, row.attempts + 1)
        yield* table.wait([{ ...row, due, attempts: row.attempts + 1, error }])
      })

    const claim = (limit: number): Effect.Effect<ReadonlyArray<Called>, unknown> =>
      Effect.gen(function* () {
        yield* database.writable
        const exit = yield* Effect.exit(together(limit))
        if (Exit.isSuccess(exit)) return exit.value.called
        if (faultOf(exit.cause) !== "event") return yield* Effect.failCause(exit.cause)
        const rows = yield* table.lockDue(new Date(yield* Clock.currentTimeMillis), limit)
        const called: Array<Called> = []
        for (const row of rows) {
          const task = tasks.get(row.name)
          if (task !== undefined) called.push(...(yield* alone(row, task)))
        }
        return called
      })

    const make = ({ task, call, id }: Called): Effect.Effect<CallResult<unknown>> =>
      Effect.map(
        Effect.exit(
          Effect.timeoutOrElse(
            Effect.suspend(() => task.call(call, id)),
            {
              duration: task.deadlineMillis,
              orElse: () => new NoAnswer({ millis: task.deadlineMillis }),
            },
          ),
        ),
        resultOf,
      )

    /** Records results of one task, those that their claim still holds. */
    const end = (task: Task<never>, finished: NonEmptyReadonlyArray<Finished>) =>
      Effect.gen(function* () {
        const results = finished.map(({ id, call, result }): Ended<unknown, unknown> => ({ id, call, result }))
        const nexts = yield* task.end(results as never)
        const now = yield* Clock.currentTimeMillis
        const isDone = (n: number) => nexts[n]?._tag === "Done"
        const over = finished.filter((_, n) => isDone(n))
        const waiting: Array<Waiting> = []
        for (const [n, row] of finished.entries()) if (!isDone(n)) waiting.push(yield* waitingOf(row, nexts[n]!, now))
        if (over.length > 0) yield* table.end(over)
        if (waiting.length > 0) yield* table.wait(waiting)
      })

    const record = (finished: ReadonlyArray<Finished>) =>
      database.transaction(
        Effect.gen(function* () {
          const held = new Set((yield* table.lockHeld(finished)).map(nameOf))
          const ours = finished.filter((row) => held.has(nameOf(row)))
          for (const group of Map.groupBy(ours, ({ task }) => task).entries()) yield* end(group[0], group[1] as never)
        }),
      )

    /** Records results; those that fail together are recorded one by one, and one that fails alone counts as unknown. */
    const finish = (finished: ReadonlyArray<Finished>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.orDie(record(finished)))
        if (Exit.isSuccess(exit)) {
          for (const row of finished) failing.delete(nameOf(row))
          return
        }
        if (faultOf(exit.cause) !== "event") return yield* exit
        const [row, ...others] = finished
        if (others.length > 0) return yield* Effect.forEach(finished, (one) => finish([one]), { discard: true })
        yield* Effect.orDie(postpone({ ...row!, attempts: row!.attempts - 1, isUnknown: true }, row!.task, exit.cause))
      })

    return { claim, make, finish, failing }
  })

export type Steps = Effect.Success<ReturnType<typeof makeSteps>>

const nameOf = ({ name, id }: Pick<Due, "name" | "id">) => `${name} ${id}`

const unknownTask = (row: Due, now: number): Waiting => ({
  ...row,
  due: new Date(now + unknownTaskMillis),
  error: `this release has no task ${row.name}`,
})

const resultOf = (exit: Exit.Exit<unknown, unknown>): CallResult<unknown> => {
  if (Exit.isSuccess(exit)) return { _tag: "Answered", answer: exit.value }
  const error = Cause.squash(exit.cause)
  return error instanceof NotMade
    ? { _tag: "NotMade", reason: error.reason, ...(error.after === undefined ? {} : { after: error.after }) }
    : { _tag: "Unknown", reason: clean(textOf(error)) }
}

const dueBy = (task: Task<never>, attempts: number) =>
  Effect.gen(function* () {
    const delay = (yield* delayAfter(task.retry, attempts)) ?? unknownTaskMillis
    return new Date((yield* Clock.currentTimeMillis) + delay)
  })

/** A row that is to be tried again: a call that was not made is no attempt. */
const waitingOf = (row: Finished, next: Next, now: number) =>
  Effect.gen(function* () {
    const { result } = row
    const attempts = result._tag === "NotMade" ? row.attempts - 1 : row.attempts
    const after = next._tag === "Again" ? next.after : undefined
    const due =
      after === undefined
        ? yield* dueBy(row.task, Math.max(1, attempts))
        : new Date(now + Duration.toMillis(Duration.fromInputUnsafe(after)))
    const isUnknown = result._tag === "Unknown" || (result._tag === "NotMade" && row.isUnknown)
    return { ...row, due, attempts, isUnknown, error: result._tag === "Answered" ? null : result.reason }
  })

/** Calls of one module that are under way at once, in one process. */
const most = 64

/** Stopping waits this long for calls that are under way; what is left is unknown. */
const closeWithin = "5 seconds"

/**
 * Works on the tasks of a module until the scope closes: claims what is due, calls side by side, and records results
 * together. Woken by `wake`, with a poll for what becomes due.
 */
export const work = (options: {
  readonly module: string
  readonly tasks: ReadonlyArray<Task<never>>
  readonly wake: Latch.Latch
}) =>
  Effect.gen(function* () {
    const database = yield* Database
    const steps = yield* makeSteps(options)
    const record = yield* database.coalesce((finished: ReadonlyArray<Finished>) =>
      Effect.as(
        steps.finish(finished),
        finished.map(() => undefined),
      ),
    )
    const running = new Set<Fiber.Fiber<unknown>>()
    /** The last claim took as many rows as it could. */
    let hasMore = false
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* Effect.timeoutOption(Fiber.awaitAll([...running]), closeWithin)
        yield* Fiber.interruptAll([...running])
      }),
    )

    const call = (called: Called) =>
      Effect.gen(function* () {
        const finished = { ...called, result: yield* steps.make(called) }
        // While the database is away the result waits, until its mark is too old.
        yield* Effect.retry(Effect.sandbox(record(finished)), {
          while: () => Date.now() < called.until,
          schedule: backOff,
        })
      }).pipe(Effect.ignoreCause({ log: "Debug" }))

    const turn = Effect.gen(function* () {
      const free = most - running.size
      if (free === 0) return false
      const called = yield* steps.claim(free)
      for (const one of called) {
        const fiber = yield* Effect.forkDetach(call(one))
        running.add(fiber)
        fiber.addObserver(() => {
          running.delete(fiber)
          if (hasMore) options.wake.openUnsafe()
        })
      }
      hasMore = called.length === free
      return hasMore
    })

    const name = `${options.module}.tasks`
    const { faultOf: faultOfLoop } = yield* Loops
    if (options.tasks.length > 0) {
      yield* Effect.forkScoped(loop({ name, turn, wake: options.wake, poll: "1 second" }))
    }
    return {
      /** Why the tasks do not get on, or what is wrong with a row that fails by a defect; undefined when nothing is. */
      fault: Effect.map(faultOfLoop(name), (fault) => {
        const [first] = steps.failing
        if (fault !== undefined || first === undefined) return fault
        return `${steps.failing.size} tasks fail; ${first[0]}: ${first[1]}`
      }),
    }
  })
