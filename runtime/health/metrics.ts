import { Clock, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import type { SqlClient } from "effect/sql"
import type { Lag } from "../events/EventBus.ts"
import { endpoints, serveAt } from "../http/openapi/operations.ts"
import { durationName, gauge } from "../telemetry/metrics.ts"

const outboxPending = gauge(
  "galleria_outbox_pending",
  "Events that are written and not yet acknowledged; at most 100,000 are counted",
)
const outboxAge = gauge("galleria_outbox_oldest_age_seconds", "How long the oldest of them has been waiting")
const lag = gauge("galleria_consumer_lag", "Records that the module has not finished")
const held = gauge("galleria_dead_letters", "Dead letters that are open, by status; at most 10,000 of each are counted")
const tasks = gauge("galleria_tasks", "Calls to the outside that are to be made, by state; at most 10,000 are counted")

/** Maximum number of rows of one kind to count, so that a backlog does not slow down the count. */
const mostCounted = 10_000

/** The maximum for the outbox, which is counted by its index only. */
const mostPending = 100_000

/** What each request of `/metrics` reads from a module. */
export interface Watched {
  readonly module: string
  readonly sql: SqlClient.SqlClient
  readonly lag: Effect.Effect<ReadonlyArray<Lag>, unknown>
  /** The tasks to show; tasks found in the table, such as those of another release, are added. */
  readonly tasks: Set<string>
}

/** Counts the rows of each task by state. Skips from name to name, because one may have very many rows. */
const countTasks = (sql: SqlClient.SqlClient, now: Date) =>
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

const lookAtTasks = ({ module, sql, tasks: names }: Watched, now: number) =>
  Effect.gen(function* () {
    const counts = yield* countTasks(sql, new Date(now))
    for (const { task } of counts) names.add(task)
    for (const task of names) {
      for (const state of ["waiting", "due", "called", "failing"]) {
        const count = counts.find((row) => row.task === task && row.state === state)
        yield* tasks({ module, task, state }, count?.rows ?? 0)
      }
    }
  })

const look = (watched: Watched) =>
  Effect.gen(function* () {
    const { module, sql, lag: lagOf } = watched
    const now = yield* Clock.currentTimeMillis
    const [outbox] = yield* sql<{ pending: number; oldest: Date | null }>`
      select count(*)::float8 as pending, (select time from outbox order by seq limit 1) as oldest
      from (select from outbox limit ${mostPending}) pending`
    yield* outboxPending({ module }, outbox!.pending)
    yield* outboxAge({ module }, outbox!.oldest === null ? 0 : Math.max(0, (now - outbox!.oldest.getTime()) / 1_000))
    const counts = yield* sql<{ status: string; events: number }>`
      select 'waiting' as status, count(*)::float8 as events from (
        select from held where status = 'waiting' limit ${mostCounted}) waiting
      union all select 'retrying', count(*) from (
        select from held where status = 'retrying' limit ${mostCounted}) retrying
      union all select 'parked', count(*) from (select from held where status = 'parked' limit ${mostCounted}) parked`
    for (const status of ["waiting", "retrying", "parked"]) {
      yield* held({ module, status }, counts.find((row) => row.status === status)?.events ?? 0)
    }
    yield* lookAtTasks(watched, now)
    for (const { topic, partition, records } of yield* lagOf) {
      yield* lag({ module, topic, partition: String(partition) }, records)
    }
  })

/** Updates the gauges, for a request or an export. A gauge that cannot be read keeps its last value. */
export const lookAt = (watched: ReadonlyArray<Watched>) =>
  Effect.forEach(watched, (module) => Effect.ignoreCause(look(module), { log: "Debug" }), {
    discard: true,
    concurrency: "unbounded",
  })

/** `GET /metrics`, in the format of Prometheus. */
export const metricsRoute = (watched: ReadonlyArray<Watched>) =>
  serveAt(
    endpoints.metrics,
    Effect.gen(function* () {
      yield* lookAt(watched)
      const text = yield* PrometheusMetrics.format({ metricNameMapper })
      return HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
    }),
  )

const metricNameMapper = (name: string) => (name === durationName ? `${name}.seconds` : name)
