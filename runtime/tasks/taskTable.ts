import { Clock, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Item } from "../module/Task.ts"
import type { Tasks } from "../module/Tasks.ts"
import { traceparentHere } from "../telemetry/trace.ts"

/** A due row, locked in the running transaction. */
export interface Due extends Item {
  readonly name: string
  readonly attempts: number
  /** The trace in which it was added. */
  readonly traceparent: string | null
}

/** A row that is being called: until its mark expires, only the claim `holder` may end it. */
export interface Claimed extends Due {
  readonly holder: string
}

/** The next state of a row that stays. `reason` is why it is retried; null: without a failure. */
export interface Waiting {
  readonly name: string
  readonly id: string
  readonly due: Date
  readonly attempts: number
  readonly isUnknown: boolean
  readonly reason: "failed" | "unknown" | "not-made" | null
  readonly error: string | null
}

/** `Tasks` in the table `task` of a module's database. Runs `wake` when a row is added. */
export const tasksIn = (
  sql: SqlClient.SqlClient,
  names: ReadonlyArray<string>,
  wake: Effect.Effect<void>,
): Tasks["Service"] => {
  const known = (name: string) =>
    names.includes(name) ? Effect.void : Effect.die(new Error(`the module declares no task ${name}`))

  return {
    add: (name, rows) =>
      Effect.gen(function* () {
        yield* known(name)
        if (rows.length === 0) return
        const now = new Date(yield* Clock.currentTimeMillis)
        yield* Effect.orDie(sql`
          insert into task (name, id, due, created_at, traceparent)
          select ${name}, id, coalesce(due, ${now}), ${now}, ${yield* traceparentHere}
          from json_to_recordset(${JSON.stringify(rows)}::json) as x (id text, due timestamptz) order by id
          on conflict do nothing`)
        yield* sql.afterCommit(wake)
      }),
    remove: (name, ids) =>
      Effect.gen(function* () {
        yield* known(name)
        if (ids.length === 0) return
        // The worker locks the row first, then the aggregate. Waiting for the row here could deadlock. Each row is found by its
        // key, also by a plan that was made while the table was empty.
        yield* Effect.orDie(sql`
          with free as (
            select t.name, t.id from json_array_elements_text(${JSON.stringify(ids)}::json) as x (id), lateral (
              select name, id from task where name = ${name} and id = x.id and holder is null and not is_unknown
              for update skip locked) t)
          delete from task t using free where t.name = free.name and t.id = free.id`)
      }),
  }
}

/** The statements of the worker, in the table `task`. */
export const taskTable = (sql: SqlClient.SqlClient) => {
  const isUnknown = sql.literal(`is_unknown or holder is not null as "isUnknown"`)

  return {
    /** Which of the tasks `names` have due rows. */
    namesDue: (names: ReadonlyArray<string>, now: Date) =>
      Effect.map(
        sql<{ name: string }>`
          select n.name from json_array_elements_text(${JSON.stringify(names)}::json) as n (name)
          where exists (select from task t where t.name = n.name and t.due <= ${now})`,
        (rows) => new Set(rows.map(({ name }) => name)),
      ),

    /** Locks due rows of a task, the oldest first. Rows locked by another transaction are skipped. */
    lockDue: (name: string, now: Date, limit: number) =>
      sql<Due>`
        select name, id, attempts, traceparent, ${isUnknown} from task
        where name = ${name} and due <= ${now} order by due, id limit ${limit} for update skip locked`,

    /** Locks one row if it is due. */
    lockOne: ({ name, id }: Pick<Due, "name" | "id">, now: Date) =>
      sql<Due>`
        select name, id, attempts, traceparent, ${isUnknown} from task
        where name = ${name} and id = ${id} and due <= ${now} for update skip locked`,

    /** Marks rows as called by `holder`, until `until`. */
    mark: (rows: ReadonlyArray<Due>, holder: string, until: Date) =>
      sql`
        update task t set holder = ${holder}, due = ${until}, attempts = t.attempts + 1, is_unknown = x.unknown
        from json_to_recordset(${JSON.stringify(rows.map(({ name, id, isUnknown }) => ({ name, id, unknown: isUnknown })))}::json)
          as x (name text, id text, unknown boolean)
        where t.name = x.name and t.id = x.id`,

    /** Locks and returns the rows that their claims still hold. */
    lockHeld: (rows: ReadonlyArray<Claimed>) =>
      sql<Pick<Claimed, "id" | "holder">>`
        select t.id, t.holder from task t
        join json_to_recordset(${JSON.stringify(rows.map(({ name, id, holder }) => ({ name, id, holder })))}::json)
          as x (name text, id text, holder text) on t.name = x.name and t.id = x.id and t.holder = x.holder
        order by t.name, t.id for update of t`,

    /** Removes completed rows. */
    end: (rows: ReadonlyArray<Pick<Due, "name" | "id">>) =>
      sql`
        delete from task t using json_to_recordset(${JSON.stringify(rows.map(({ name, id }) => ({ name, id })))}::json)
          as x (name text, id text) where t.name = x.name and t.id = x.id`,

    /** Makes rows wait until they are due again. */
    wait: (rows: ReadonlyArray<Waiting>) =>
      sql`
        update task t set holder = null, due = x.due, attempts = x.attempts, is_unknown = x."isUnknown",
          reason = x.reason, error = x.error
        from json_to_recordset(${JSON.stringify(rows)}::json)
          as x (name text, id text, due timestamptz, attempts int, "isUnknown" boolean, reason text, error text)
        where t.name = x.name and t.id = x.id`,

    /** Rows of the tasks `names` that failed by a defect, at most `limit`. */
    failed: (names: ReadonlyArray<string>, limit: number) =>
      sql<Pick<Due, "name" | "id">>`
        select name, id from task
        where reason = 'failed' and name in (select json_array_elements_text(${JSON.stringify(names)}::json))
        order by name, id limit ${limit}`,
  }
}

export type TaskTable = ReturnType<typeof taskTable>

/** Maximum number of rows of one task to count, so that a backlog does not slow down the count. */
const mostCounted = 10_000

/** Counts the rows of each task by state. Skips from name to name, because one may have very many rows. */
export const countTasks = (sql: SqlClient.SqlClient, now: Date) =>
  sql<{ task: string; state: string; rows: number }>`
    with recursive names as (
      (select name from task order by name limit 1)
      union all
      select (select name from task where name > names.name order by name limit 1) from names where name is not null)
    select n.name as task, counted.state, counted.rows from names n, lateral (
      select 'due' as state, count(*)::int as rows from (
        select from task where name = n.name and due <= ${now} limit ${mostCounted}) due
      union all
      select state, count(*)::int from (
        select case when holder is not null then 'called' when reason is not null then 'failing' else 'waiting' end as state
        from task where name = n.name and due > ${now} order by due limit ${mostCounted}) later
      group by state) counted
    where n.name is not null`

/** Rows of one task that wait longer than they should. */
export interface StuckTasks {
  readonly task: string
  /** At most `mostCounted`. */
  readonly rows: number
  readonly oldest: Date
  readonly error: string | null
  /** The ids of some of them, the oldest first. */
  readonly ids: ReadonlyArray<string>
}

/** A row that has been due for this long waits longer than it should (ms). */
const overdueMillis = 5_000

/** The rows of the tasks `names` that are retried or overdue, out of the `mostCounted` of each task that are due first. */
export const stuckTasks = (sql: SqlClient.SqlClient, names: ReadonlyArray<string>, now: Date) =>
  sql<StuckTasks>`
    select n.name as task, count(*)::int as rows, min(t.created_at) as oldest,
      (array_agg(t.error order by t.created_at desc) filter (where t.error is not null))[1] as error,
      to_json((array_agg(t.id order by t.created_at))[1:5]) as ids
    from json_array_elements_text(${JSON.stringify(names)}::json) as n (name), lateral (
      select id, due, reason, error, created_at from task where name = n.name order by due, id limit ${mostCounted}) t
    where t.reason is not null or t.due <= ${new Date(now.getTime() - overdueMillis)}
    group by n.name order by n.name`

/** A row of a task as operators see it. */
export interface TaskRow extends Pick<Waiting, "name" | "id" | "due" | "attempts" | "error"> {
  readonly state: "waiting" | "due" | "called" | "retrying" | "unknown"
}

/** The rows with these names and ids. */
export const findTasks = (
  sql: SqlClient.SqlClient,
  ids: ReadonlyArray<{ readonly name: string; readonly id: string }>,
  now: Date,
) =>
  sql<TaskRow>`
    select t.name, t.id, t.due, t.attempts, t.error,
      case when t.holder is not null and t.due > ${now} then 'called' when t.is_unknown or t.holder is not null
        then 'unknown' when t.reason is not null then 'retrying' when t.due <= ${now} then 'due' else 'waiting' end as state
    from task t join json_to_recordset(${JSON.stringify(ids)}::json) as x (name text, id text)
      on t.name = x.name and t.id = x.id`
