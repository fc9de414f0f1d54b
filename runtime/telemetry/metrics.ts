import { Metric } from "effect"

type Labels = Readonly<Record<string, string>>

const counter = (name: string, description: string) => {
  const metric = Metric.counter(name, { description, incremental: true })
  return (labels: Labels, by: number) => Metric.update(Metric.withAttributes(metric, labels), by)
}

export const gauge = (name: string, description: string) => {
  const metric = Metric.gauge(name, { description })
  return (labels: Labels, value: number) => Metric.update(Metric.withAttributes(metric, labels), value)
}

const seconds = (name: string, description: string, boundaries: ReadonlyArray<number>) => {
  const metric = Metric.histogram(name, { description, boundaries })
  return (labels: Labels, value: number) => Metric.update(Metric.withAttributes(metric, labels), value)
}

/** Counters and histograms; dashboards rely on their names. */
export const published = counter("galleria_outbox_published_total", "Events acknowledged by the event log")
export const applied = counter("galleria_events_applied_total", "Events that took effect")
export const duplicates = counter(
  "galleria_inbox_duplicates_total",
  "Copies of events that were already taken charge of",
)
export const skipped = counter("galleria_records_skipped_total", "Records without a value")
export const recordsLost = counter("galleria_records_lost_total", "Records pruned from the log before they were read")
export const reactionSeconds = seconds(
  "galleria_reaction_seconds",
  "Duration of a reaction, for one event or a batch",
  [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
)

/** OpenTelemetry's `http.server.request.duration`, exported by that name; Prometheus' names include the unit. */
export const durationName = "http.server.request.duration"
const durations = Metric.histogram(durationName, {
  description: "Duration of requests, by route",
  boundaries: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
})
const durationsBy = new Map<string, typeof durations>()

/** The series of one method, route and status; the route is undefined for unknown paths. */
export const duration = (method: string, route: string | undefined, status: number) => {
  const key = `${method} ${status} ${route}`
  const known = durationsBy.get(key)
  if (known !== undefined) return known
  const series = Metric.withAttributes(durations, {
    "http.request.method": method,
    "http.route": route ?? "unmatched",
    "http.response.status_code": String(status),
    unit: "s",
  })
  durationsBy.set(key, series)
  return series
}
