import { Effect, Layer, Option, Tracer } from "effect"
import { FetchHttpClient, HttpClient, type HttpClientRequest, type HttpClientResponse } from "effect/http"
import { OtlpExporter, OtlpMetrics, OtlpSerialization, OtlpTracer } from "effect/observability"
import { durationName } from "./metrics.ts"

export interface OtlpSettings {
  /** The collector's base URL; `/v1/traces` and `/v1/metrics` are below it. */
  readonly endpoint: string
  readonly serviceName: string
}

/** How often data is exported, in ms. */
export const exportMillis = { traces: 2_000, metrics: 10_000 }

/** Time-out of a request: OpenTelemetry's default. */
const patience = "10 seconds"

/** How long the end of the process may wait for a collector that does not answer, for traces and metrics each. */
const shutdownTimeout = "1 second"

/** Maximum number of batches under way, because waiting batches take memory. */
const mostUnderWay = 8

/**
 * Exports traces and metrics by OTLP over HTTP until the scope closes, and flushes them then. Without settings no spans are
 * made (see `traced`, which begins them).
 *
 * When the collector is unavailable, slow or broken, the log has one line about it and one when it is back. Data in between
 * is dropped; the next attempt comes after a minute.
 */
export const layer = (settings: OtlpSettings | undefined) => {
  if (settings === undefined) return Layer.empty
  const { endpoint, serviceName } = settings
  const below = (path: string) => {
    const url = new URL(endpoint)
    url.pathname = `${url.pathname.replace(/\/+$/u, "")}${path}`
    return url.href
  }
  const shared = { resource: { serviceName }, shutdownTimeout } as const
  return Layer.mergeAll(
    Layer.effect(
      Tracer.Tracer,
      Effect.map(
        OtlpTracer.make({ ...shared, url: below("/v1/traces"), exportInterval: exportMillis.traces }),
        withoutStrays,
      ),
    ),
    Layer.effectDiscard(
      OtlpMetrics.make({ ...shared, url: below("/v1/metrics"), exportInterval: exportMillis.metrics }),
    ),
  ).pipe(Layer.provide([serialization, client, OtlpExporter.layerFlusher]))
}

/** Does not export spans that begin outside of `traced`, such as statements of the start, each a trace of its own. */
const withoutStrays = (tracer: Tracer.Tracer) =>
  Tracer.make({
    span: (options) =>
      Option.isNone(options.parent) && (options.kind === "internal" || options.kind === "client")
        ? tracer.span({ ...options, sampled: false })
        : tracer.span(options),
  })

/** The exporter's client: limits the time and number of requests, and logs once when exporting fails. */
const client = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function* () {
    const away = new Set<string>()
    let underWay = 0

    const arrived = (url: string) =>
      Effect.suspend(() =>
        away.delete(url) ? Effect.logInfo(`Telemetry is sent to ${shown(url)} again`) : Effect.void,
      )

    const lost = (url: string, why: string) =>
      Effect.suspend(() => {
        if (away.has(url)) return Effect.void
        away.add(url)
        return Effect.logWarning(`Telemetry cannot be sent to ${shown(url)} (${why}) and is dropped meanwhile`)
      })

    const watched = <E, R>(
      answer: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>,
      { url }: HttpClientRequest.HttpClientRequest,
    ) =>
      Effect.suspend(() => {
        if (underWay >= mostUnderWay) return Effect.andThen(lost(url, "it is too slow"), Effect.die("too slow"))
        underWay++
        return answer.pipe(
          // Only a defect prevents the exporter from three more attempts, during which data would accumulate.
          Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die("no answer") }),
          Effect.tap(({ status }) =>
            status >= 200 && status < 300 ? arrived(url) : lost(url, `it was answered ${status}`),
          ),
          Effect.tapCause(() => lost(url, "no answer")),
          Effect.ensuring(Effect.sync(() => void underWay--)),
        )
      })

    return HttpClient.transform(yield* HttpClient.HttpClient, watched)
  }),
).pipe(Layer.provide(FetchHttpClient.layer))

const shown = (url: string) => {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

type Traces = Parameters<OtlpSerialization.OtlpSerialization["Service"]["traces"]>[0]
type Metrics = Parameters<OtlpSerialization.OtlpSerialization["Service"]["metrics"]>[0]
type Span = Traces["resourceSpans"][number]["scopeSpans"][number]["spans"][number]
type Metric = Metrics["resourceMetrics"][number]["scopeMetrics"][number]["metrics"][number]

/** Rewrites all exported data: removes error messages, and applies the naming conventions. */
const serialization = Layer.effect(
  OtlpSerialization.OtlpSerialization,
  Effect.map(OtlpSerialization.OtlpSerialization, (json) => ({
    ...json,
    traces: (data: Traces) => {
      for (const { scopeSpans } of data.resourceSpans) {
        for (const { spans } of scopeSpans) for (const span of spans) removeMessage(span)
      }
      return json.traces(data)
    },
    metrics: (data: Metrics) => {
      for (const { scopeMetrics } of data.resourceMetrics) {
        for (const { metrics } of scopeMetrics) for (const metric of metrics) byConvention(metric)
      }
      return json.metrics(data)
    },
  })),
).pipe(Layer.provide(OtlpSerialization.layerJson))

const codes = { unset: 0, ok: 1 } as const

/** Keeps the type of an error, and removes its message, which may quote anything, and its stack trace. */
const removeMessage = (span: Span) => {
  const thrown = span.events.find(({ name }) => name === "exception")
  const type = thrown?.attributes.find(({ key }) => key === "exception.type")
  span.events.length = 0
  if (type !== undefined && span.attributes.every(({ key }) => key !== "error.type")) {
    span.attributes.push({ key: "error.type", value: type.value })
  }
  delete span.status.message
  // By the conventions, instrumentation leaves the status unset on success.
  if (span.status.code === codes.ok) (span.status as { code: number }).code = codes.unset
}

/** In OTLP statuses are numbers, and a unit is not an attribute. */
const byConvention = (metric: Metric) => {
  const points = [metric.sum, metric.gauge, metric.histogram].flatMap((data) => data?.dataPoints ?? [])
  for (const point of points) {
    point.attributes = (point.attributes ?? []).filter(({ key }) => key !== "unit")
    if (metric.name !== durationName) continue
    point.attributes = point.attributes.map(({ key, value }) =>
      key === "http.response.status_code" ? { key, value: { intValue: Number(value.stringValue) } } : { key, value },
    )
  }
}
