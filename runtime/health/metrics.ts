import { Clock, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import type { SqlClient } from "effect/sql"
import { countOpenDeadLetters } from "../delivery/deadLetterTable.ts"
import type { Lag } from "../events/EventBus.ts"
import { endpoints, serveAt } from "../http/openapi/operations.ts"
import { countPending } from "../outbox/outboxTable.ts"
import { countTasks } from "../tasks/taskTable.ts"
import { durationName, gauge } from "../telemetry/metrics.ts"

const outboxPending = gauge(
  "galleria_outbox_pending",
  "Events that are written and not yet acknowledged; at most 100,000 are counted",
)
const outboxAge = gauge("galleria_outbox_oldest_age_seconds", "How long the oldest of them has been waiting")
const lag = gauge("galleria_consumer_lag", "Records that the module has not finished")
const held = gauge("galleria_dead_letters", "Dead letters that are open, by status; at most 10,000 of each are counted")
const tasks = gauge("galleria_tasks", "Calls to the outside that are to be made, by state; at most 10,000 are counted")

/** What each request of `/metrics` reads from a module. */
export interface Watched {
  readonly module: string
  readonly sql: SqlClient.SqlClient
  readonly lag: Effect.Effect<ReadonlyArray<Lag>, unknown>
  /** The tasks to show; tasks found in the table, such as those of another release, are added. */
  readonly tasks: Set<string>
}

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
    const [outbox] = yield* countPending(sql)
    yield* outboxPending({ module }, outbox!.pending)
    yield* outboxAge({ module }, outbox!.oldest === null ? 0 : Math.max(0, (now - outbox!.oldest.getTime()) / 1_000))
    for (const { status, events } of yield* countOpenDeadLetters(sql)) yield* held({ module, status }, events)
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
