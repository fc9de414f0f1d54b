import { Clock, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { unlessStuck } from "../sql/watch.ts"
import type { CallResult, Task } from "../module/Task.ts"
import { Database } from "../sql/Database.ts"
import { make } from "./call.ts"
import { claimBy } from "./claim.ts"
import { following } from "./following.ts"
import { finishBy } from "./finish.ts"
import { type Claimed, type Due, taskTable, type TaskTable } from "./taskTable.ts"

/** A row with a call: `call` is the result of its task's `begin`. */
export interface Called extends Claimed {
  readonly call: unknown
  /** When the mark expires (ms). */
  readonly until: number
}

/** A call with its result. */
export interface Finished extends Called {
  readonly result: CallResult<unknown>
}

/** The dependencies of the steps. */
export interface Tools {
  readonly database: Database["Service"]
  readonly table: TaskTable
  /** Runs `begin` or `end` of a task for these rows, in the running transaction; fails when it is stuck. */
  readonly running: <A>(
    part: "begin" | "end",
    task: Task<never>,
    rows: ReadonlyArray<Due>,
    work: Effect.Effect<A>,
  ) => Effect.Effect<A>
  /** Whether the database does not answer. */
  readonly isAway: Effect.Effect<boolean>
}

/**
 * The steps of a module's tasks (`module/Task.ts`): `claim` decides and marks, `make` calls, `finish` records. The process
 * may die after any step; any number of instances may work on one table.
 */
export const makeSteps = (
  options: {
    /** The statements; replaced only to show that the tests notice a wrong one. */
    readonly table?: typeof taskTable
  } = {},
) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const table = (options.table ?? taskTable)(sql)
    const tools: Tools = {
      database,
      table,
      running: (part, task, rows, work) =>
        unlessStuck(sql, following(part, task, rows)(work), {
          millis: stuckMillis,
          stuck: Effect.die(new Error(`${task.name} did nothing for ${stuckMillis / 1_000} s`)),
        }),
      isAway: Effect.match(database.probe, { onSuccess: () => false, onFailure: () => true }),
    }
    return {
      /** Which of the tasks have due rows. */
      namesDue: (names: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          yield* database.writable
          return yield* table.namesDue(names, new Date(yield* Clock.currentTimeMillis))
        }),
      claim: claimBy(tools),
      make: (task: Task<never>, called: Called) => following("call", task, [called])(make(task, called)),
      finish: finishBy(tools),
      failed: table.failed,
    }
  })

export type Steps = Effect.Success<ReturnType<typeof makeSteps>>

/** `begin` or `end` counts as stuck after this idle time, in milliseconds: less than the time-out of an idle transaction. */
const stuckMillis = 4_000
