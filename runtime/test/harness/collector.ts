import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"

/** A span as it was exported, with attributes that can be read. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: "unspecified" | "internal" | "server" | "client" | "producer" | "consumer"
  readonly failed: boolean
  readonly attributes: Readonly<Record<string, unknown>>
  /** Span ids. */
  readonly links: ReadonlyArray<string>
  readonly service: unknown
}

export interface Metric {
  readonly name: string
  readonly unit: string
  readonly points: ReadonlyArray<{ readonly attributes: Readonly<Record<string, unknown>>; readonly count: number }>
}

/** An OpenTelemetry collector that keeps what it gets, in memory. */
export interface Collector extends AsyncDisposable {
  readonly endpoint: string
  readonly spans: () => ReadonlyArray<Span>
  /** As they were exported last. */
  readonly metrics: () => ReadonlyArray<Metric>
  /** All that came, byte by byte. */
  readonly text: () => string
  /** The requests so far: `POST /v1/traces application/json`. */
  readonly requests: ReadonlyArray<string>
  /** How it answers from now on: with a status, or not at all. */
  answer: number | "never"
}

const kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const

/** Collects at a free port, below `path`. */
export const collect = async (options: { readonly port?: number; readonly path?: string } = {}): Promise<Collector> => {
  const bodies = new Map<string, Array<string>>()
  const requests: Array<string> = []
  const server = createServer(async (request, response) => {
    const body = await textOf(request)
    requests.push(`${request.method} ${request.url} ${request.headers["content-type"]}`)
    if (collector.answer === "never") return
    if (collector.answer === 200) bodies.set(request.url!, [...(bodies.get(request.url!) ?? []), body])
    response.writeHead(collector.answer, { "content-type": "application/json" }).end("{}")
  })
  await new Promise<void>((resolve) => void server.listen(options.port ?? 0, "127.0.0.1", resolve))
  const { path = "" } = options
  const sent = (signal: string) => (bodies.get(`${path}/v1/${signal}`) ?? []).map((body) => JSON.parse(body))
  const collector: Collector = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    spans: () => sent("traces").flatMap(spansIn),
    metrics: () => sent("metrics").slice(-1).flatMap(metricsIn),
    text: () => [...bodies.values()].flat().join("\n"),
    requests,
    answer: 200,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return collector
}

const textOf = async (request: IncomingMessage) => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

const spansIn = ({ resourceSpans }: any): ReadonlyArray<Span> =>
  resourceSpans.flatMap(({ resource, scopeSpans }: any) =>
    scopeSpans.flatMap(({ spans }: any) =>
      spans.map((span: any) => ({
        ...span,
        kind: kinds[span.kind],
        failed: span.status.code === 2,
        attributes: attributesIn(span.attributes),
        links: span.links.map(({ spanId }: any) => spanId),
        service: attributesIn(resource.attributes)["service.name"],
      })),
    ),
  )

const metricsIn = ({ resourceMetrics }: any): ReadonlyArray<Metric> =>
  resourceMetrics.flatMap(({ scopeMetrics }: any) =>
    scopeMetrics.flatMap(({ metrics }: any) =>
      metrics.map(({ name, unit, sum, gauge, histogram }: any) => ({
        name,
        unit,
        points: (sum ?? gauge ?? histogram).dataPoints.map((point: any) => ({
          attributes: attributesIn(point.attributes),
          count: Number(point.count ?? point.asDouble ?? point.asInt),
        })),
      })),
    ),
  )

const attributesIn = (attributes: ReadonlyArray<{ key: string; value: Record<string, unknown> }>) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
