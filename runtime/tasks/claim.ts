import { Clock, Effect, Exit } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { randomUUID } from "node:crypto"
import { faultOf } from "../sql/fault.ts"
import { monotonicMillis } from "../loop/monotonic.ts"
import type { Task } from "../module/Task.ts"
import { dueAfter, errorOf, logFailure } from "./failure.ts"
import type { Called, Tools } from "./steps.ts"
import type { Due } from "./taskTable.ts"

/** Time to record a result after the deadline of its call, in milliseconds; then the mark expires. */
export const recordWithinMillis = 10_000

/** A failed batch is processed row by row for this long, in milliseconds; the rest follows in the next turn. */
const oneByOneMillis = 10_000

export interface ClaimResult {
  /** Claimed rows; those without a call are done. */
  readonly taken: number
  readonly called: ReadonlyArray<Called>
}

/** Claims at most `limit` due rows of a task: decides the call for each, and marks them. */
export const claimBy = (tools: Tools) => (task: Task<never>, limit: number) =>
  Effect.gen(function* () {
    const { database, table, isAway } = tools
    yield* database.writable
    const exit = yield* Effect.exit(together(tools, task, limit))
    if (Exit.isSuccess(exit)) return exit.value
    if (faultOf(exit.cause) !== "event" && (yield* isAway)) return yield* Effect.failCause(exit.cause)
    const began = yield* monotonicMillis
    const rows = yield* table.lockDue(task.name, new Date(yield* Clock.currentTimeMillis), limit)
    const called: Array<Called> = []
    let taken = 0
    for (const row of rows) {
      if ((yield* monotonicMillis) - began >= oneByOneMillis) break
      taken++
      called.push(...(yield* alone(tools, task, row)))
    }
    return { taken, called }
  })

const together = (tools: Tools, task: Task<never>, limit: number): Effect.Effect<ClaimResult, unknown> =>
  tools.database.transaction(
    Effect.gen(function* () {
      const rows = yield* tools.table.lockDue(task.name, new Date(yield* Clock.currentTimeMillis), limit)
      return { taken: rows.length, called: yield* begin(tools, task, rows) }
    }),
  )

/** Claims one row of a failed batch. When it fails again, it waits. */
const alone = (tools: Tools, task: Task<never>, row: Due) =>
  Effect.gen(function* () {
    const { database, table, isAway } = tools
    const now = new Date(yield* Clock.currentTimeMillis)
    const beginning = Effect.flatMap(table.lockOne(row, now), (rows) => begin(tools, task, rows))
    const exit = yield* Effect.exit(database.transaction(beginning))
    if (Exit.isSuccess(exit)) return exit.value
    if (faultOf(exit.cause) !== "event" && (yield* isAway)) return yield* Effect.failCause(exit.cause)
    const postponing = Effect.gen(function* () {
      // Another instance may have claimed it meanwhile: then it is not due.
      for (const { name, id, isUnknown, ...locked } of yield* table.lockOne(row, now)) {
        const attempts = locked.attempts + 1
        const due = yield* dueAfter(task, attempts)
        yield* table.wait([{ name, id, due, attempts, isUnknown, reason: "failed", error: errorOf(exit.cause) }])
        yield* logFailure(task, id)
      }
    })
    yield* database.transaction(postponing)
    return []
  })

/** Runs `begin` for locked rows, marks those with a call, and removes the others. */
const begin = ({ table, running }: Tools, task: Task<never>, rows: ReadonlyArray<Due>) =>
  Effect.gen(function* () {
    if (rows.length === 0) return []
    const items = rows.map(({ id, isUnknown }) => ({ id, isUnknown }))
    const calls = yield* running("begin", task, rows, task.begin(items as unknown as NonEmptyReadonlyArray<Due>))
    if (calls.length !== rows.length) {
      return yield* Effect.die(new Error(`begin of ${task.name} answered ${calls.length} of ${rows.length} items`))
    }
    const holder = randomUUID()
    const until = (yield* Clock.currentTimeMillis) + task.deadlineMillis + recordWithinMillis
    const called = rows.flatMap((row, n): ReadonlyArray<Called> =>
      calls[n] === undefined ? [] : [{ ...row, attempts: row.attempts + 1, call: calls[n], holder, until }],
    )
    const over = rows.filter((_, n) => calls[n] === undefined)
    if (called.length > 0) yield* table.mark(called, holder, new Date(until))
    if (over.length > 0) yield* table.end(over)
    return called
  })
