import { Cause, Clock, Effect } from "effect"
import { clean } from "../loop/defect.ts"
import { textOf } from "../loop/defect.ts"
import { delayAfter } from "../loop/schedule.ts"
import type { Task } from "../module/Task.ts"
import { sqlErrorIn } from "../sql/transaction.ts"

/** The wait of a row whose schedule is done, in milliseconds: a row ends by its module's decision alone. */
const endlessMillis = 60_000

/** When a row is tried again that was tried that often. */
export const dueAfter = (task: Task<never>, attempts: number) =>
  Effect.gen(function* () {
    const delay = (yield* delayAfter(task.retry, Math.max(1, attempts))) ?? endlessMillis
    return new Date((yield* Clock.currentTimeMillis) + delay)
  })

/** What is kept of a failure. */
export const errorOf = (cause: Cause.Cause<unknown>): string =>
  clean(textOf(sqlErrorIn(cause)?.reason.cause ?? Cause.squash(cause)))

/** Says that a row waits because `begin` or `end` failed. The text of the error stays in the table: it may be personal. */
export const logFailure = (task: Task<never>, id: string) =>
  Effect.logWarning(`${task.name} failed; the task is tried again later`).pipe(Effect.annotateLogs({ task_id: id }))

/** Says that calls have no result. */
export const logUnknown = (task: Task<never>, ids: ReadonlyArray<string>) =>
  ids.length === 0
    ? Effect.void
    : Effect.logWarning(`${task.name}: ${ids.length === 1 ? "a call has" : `${ids.length} calls have`} no result`).pipe(
        Effect.annotateLogs({ task_ids: ids.slice(0, mostIds).join() }),
      )

/** Ids in one line of the log. */
const mostIds = 10
