import { Cause, Clock, Effect } from "effect"
import { clean } from "../loop/defect.ts"
import { textOf } from "../loop/defect.ts"
import { delayAfter } from "../loop/schedule.ts"
import type { Task } from "../module/Task.ts"
import { sqlErrorIn } from "../sql/transaction.ts"

/** The wait of a row after the end of its schedule, in milliseconds: only its module's decision ends a row. */
const endlessMillis = 60_000

/** When a row is retried after that many attempts. */
export const dueAfter = (task: Task<never>, attempts: number) =>
  Effect.gen(function* () {
    const delay = (yield* delayAfter(task.retry, Math.max(1, attempts))) ?? endlessMillis
    return new Date((yield* Clock.currentTimeMillis) + delay)
  })

/** The text of a failure for the table. */
export const errorOf = (cause: Cause.Cause<unknown>): string =>
  clean(textOf(sqlErrorIn(cause)?.reason.cause ?? Cause.squash(cause)))

/** Logs that a row waits because `begin` or `end` failed. The error's text is only in the table: it may be personal. */
export const logFailure = (task: Task<never>, id: string) =>
  Effect.logWarning(`${task.name} failed; the task is retried later`).pipe(Effect.annotateLogs({ task_id: id }))

/** Logs that calls have no result. */
export const logUnknown = (task: Task<never>, ids: ReadonlyArray<string>) =>
  ids.length === 0
    ? Effect.void
    : Effect.logWarning(`${task.name}: ${ids.length === 1 ? "a call has" : `${ids.length} calls have`} no result`).pipe(
        Effect.annotateLogs({ task_ids: ids.slice(0, mostIds).join() }),
      )

/** Maximum number of ids in one log line. */
const mostIds = 10
