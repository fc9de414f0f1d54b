import { Effect, Layer, Option, Tracer } from "effect"
import { FetchHttpClient, HttpClient, type HttpClientRequest, type HttpClientResponse } from "effect/http"
import { OtlpExporter, OtlpMetrics, OtlpSerialization, OtlpTracer } from "effect/observability"
import { durationName } from "./metrics.ts"

export interface OtlpSettings {
  /** A collector's address; `/v1/traces` and `/v1/metrics` are below it. */
  readonly endpoint: string
  readonly serviceName: string
}

/** How often what was gathered leaves, in ms. */
export const exportMillis = { traces: 2_000, metrics: 10_000 }

/** An answer that takes longer has not come: the default of OpenTelemetry. */
const patience = "10 seconds"

/** The process ends although a collector does not answer: this long after all else, for each of the two. */
const shutdownTimeout = "1 second"

/** A collector that lets more batches than these wait is too slow, and waiting batches are memory. */
const mostUnderWay = 8

/**
 * Exports the traces and metrics of what is built upon it by OTLP over HTTP, until the scope closes; what is gathered by
 * then leaves before. Without settings there are no spans at all: see `traced`, which alone begins them.
 *
 * A collector that is away, slow or broken costs a line in the log when it becomes so and one when it is back. What
 * happens in between is not exported; it is asked again after a minute.
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

/** What begins outside of `traced` is of no use to anybody: statements of the start, say, each a trace of its own. */
const withoutStrays = (tracer: Tracer.Tracer) =>
  Tracer.make({
    span: (options) =>
      Option.isNone(options.parent) && (options.kind === "internal" || options.kind === "client")
        ? tracer.span({ ...options, sampled: false })
        : tracer.span(options),
  })

/** The exporter's client: bounded in time and number, and saying once when it gets nowhere. */
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
          // Nothing but a defect keeps the exporter from asking three times more, with all that gathers meanwhile.
          Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die("no answer") }),
          Effect.tap(({ status }) =>
            status >= 200 && status < 300 ? arrived(url) : lost(url, `it was answered ${status}`),
          ),
          Effect.tapCause(() => lost(url, "nobody answers")),
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

/** What leaves is looked at here, as a whole: the words of errors stay, and names are those of the conventions. */
const serialization = Layer.effect(
  OtlpSerialization.OtlpSerialization,
  Effect.map(OtlpSerialization.OtlpSerialization, (json) => ({
    ...json,
    traces: (data: Traces) => {
      for (const { scopeSpans } of data.resourceSpans) {
        for (const { spans } of scopeSpans) for (const span of spans) withoutWords(span)
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

/** The message of an error may quote anything: of an error its type leaves, not its words and where it was thrown. */
const withoutWords = (span: Span) => {
  const thrown = span.events.find(({ name }) => name === "exception")
  const type = thrown?.attributes.find(({ key }) => key === "exception.type")
  span.events.length = 0
  if (type !== undefined && span.attributes.every(({ key }) => key !== "error.type")) {
    span.attributes.push({ key: "error.type", value: type.value })
  }
  delete span.status.message
  // Success is for people to declare; instrumentation leaves it open.
  if (span.status.code === codes.ok) (span.status as { code: number }).code = codes.unset
}

/** Statuses are numbers there, and a unit is no attribute. */
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
