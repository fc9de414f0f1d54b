import { Clock, Duration, Effect, Exit } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { faultOf } from "../sql/fault.ts"
import type { Ended, Next, Task } from "../module/Task.ts"
import { dueAfter, errorOf, logFailure, logUnknown } from "./failure.ts"
import type { Finished, Tools } from "./steps.ts"
import type { Waiting } from "./taskTable.ts"

/**
 * Records results of calls of one task. When a batch fails, its results are recorded one by one; a row that fails alone
 * waits, and its call is unknown because the result was not recorded. Fails only by an infrastructure fault, and may then be
 * repeated: a result that was recorded, or whose claim was lost, changes nothing.
 */
export const finishBy =
  (tools: Tools) =>
  (task: Task<never>, finished: ReadonlyArray<Finished>): Effect.Effect<void, unknown> =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(record(tools, task, finished))
      if (Exit.isSuccess(exit)) return
      const isEvent = faultOf(exit.cause) === "event"
      if (!isEvent && (yield* tools.isAway)) return yield* Effect.failCause(exit.cause)
      const [row, ...others] = finished
      if (row === undefined || others.length > 0) {
        const exits = yield* Effect.forEach(finished, (one) => Effect.exit(finishBy(tools)(task, [one])))
        return yield* exits.find(Exit.isFailure) ?? Effect.void
      }
      if (!isEvent) return yield* Effect.failCause(exit.cause)
      yield* postpone(tools, task, row, errorOf(exit.cause))
    })

const record = ({ database, table, running }: Tools, task: Task<never>, finished: ReadonlyArray<Finished>) =>
  database.transaction(
    Effect.gen(function* () {
      // By the holder too: a row that was claimed twice may have two results here.
      const held = new Set((yield* table.lockHeld(finished)).map(({ id, holder }) => `${holder} ${id}`))
      const ours = finished.filter(({ id, holder }) => held.has(`${holder} ${id}`))
      if (ours.length === 0) return
      const results = ours.map(({ id, call, result }): Ended<unknown, unknown> => ({ id, call, result }))
      const nexts = yield* running(
        "end",
        task,
        ours,
        task.end(results as unknown as NonEmptyReadonlyArray<Ended<any, any>>),
      )
      if (nexts.length !== ours.length) {
        return yield* Effect.die(new Error(`end of ${task.name} answered ${nexts.length} of ${ours.length} results`))
      }
      const over: Array<Finished> = []
      const waiting: Array<Waiting> = []
      for (const [n, row] of ours.entries()) {
        const next = nexts[n]!
        if (next._tag === "Done") over.push(row)
        else waiting.push(yield* waitingOf(task, row, next))
      }
      if (over.length > 0) yield* table.end(over)
      if (waiting.length > 0) yield* table.wait(waiting)
      yield* logUnknown(
        task,
        ours.filter(({ result }) => result._tag === "Unknown").map(({ id }) => id),
      )
    }),
  )

/** Makes a row wait whose result could not be recorded. */
const postpone = ({ database, table }: Tools, task: Task<never>, row: Finished, error: string) =>
  database.transaction(
    Effect.gen(function* () {
      // Another instance may have claimed it meanwhile.
      if ((yield* table.lockHeld([row])).length === 0) return
      const { name, id, attempts } = row
      const isUnknown = row.result._tag === "NotMade" ? row.isUnknown : true
      const due = yield* dueAfter(task, attempts)
      yield* table.wait([{ name, id, due, attempts, isUnknown, reason: "failed", error }])
      yield* logFailure(task, id)
    }),
  )

/** A row to retry. A call that was not made is not an attempt, and an unknown call stays unknown. */
const waitingOf = (task: Task<never>, row: Finished, next: Extract<Next, { readonly _tag: "Again" }>) =>
  Effect.gen(function* () {
    const { name, id, result } = row
    const isNotMade = result._tag === "NotMade"
    const attempts = isNotMade ? row.attempts - 1 : row.attempts
    const due =
      next.after === undefined
        ? yield* dueAfter(task, attempts)
        : new Date((yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(next.after)))
    const waits = { name, id, due, attempts }
    if (result._tag === "Answered") return { ...waits, isUnknown: false, reason: null, error: null }
    return isNotMade
      ? { ...waits, isUnknown: row.isUnknown, reason: "not-made" as const, error: result.reason }
      : { ...waits, isUnknown: true, reason: "unknown" as const, error: result.reason }
  })
