import { Context, Effect, type Fiber, Option, References, Tracer } from "effect"
import { randomFillSync } from "node:crypto"

/** A position in a trace: a trace id and a span id, as in `traceparent` and in log lines. */
export type Place = Tracer.AnySpan

const shape = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/u

/** Parses a `traceparent` (W3C Trace Context §3.2); undefined when it is invalid. */
export const placeOf = (traceparent: string | null | undefined): Place | undefined => {
  const [, version, traceId, spanId, flags, more] = shape.exec(traceparent ?? "") ?? []
  if (traceId === undefined || spanId === undefined || (version === "00" && more !== undefined)) return undefined
  if (/^0+$/u.test(traceId) || /^0+$/u.test(spanId)) return undefined
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags!, 16) & 1) === 1 })
}

export const traceparentOf = ({ traceId, spanId, sampled }: Place) => `00-${traceId}-${spanId}-0${sampled ? 1 : 0}`

/**
 * The place of work that is not traced. Unlike `ParentSpan`, which makes a fiber look up several services, setting it costs
 * nothing.
 */
const Untraced = Context.Reference<Place | undefined>("galleria/Untraced", { defaultValue: () => undefined })

/** The place of work in this context. Effect's non-propagating spans of untraced work are skipped. */
export const placeIn = (context: Context.Context<never>): Place | undefined => {
  const place = Context.get(context, Untraced)
  if (place !== undefined) return place
  let span = Context.getOrUndefined(context, Tracer.ParentSpan)
  while (span !== undefined && Context.get(span.annotations, Tracer.DisablePropagation)) {
    span = span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined
  }
  return span
}

/** The place of the running work as a `traceparent`; null when it is not traced. */
export const traceparentHere = Effect.map(Effect.context(), (context) => {
  const place = placeIn(context)
  return place === undefined ? null : traceparentOf(place)
})

/** Whether spans are exported. Otherwise none are made, because each takes time. */
export const isExported = (fiber: Fiber.Fiber<unknown, unknown>) => fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer

const isTraced = (fiber: Fiber.Fiber<unknown, unknown>, causes: ReadonlyArray<Place>) =>
  isExported(fiber) && (causes.length === 0 || causes.some(({ sampled }) => sampled))

/** Work with several causes is a child of the first when all belong to one trace, else it begins a trace. */
const parentOf = (causes: ReadonlyArray<Place>) => {
  const [first] = causes
  return causes.every(({ traceId }) => traceId === first?.traceId) ? first : undefined
}

/** Adds a link to each cause except the parent, by the conventions for batches of messages. */
const follow = (causes: ReadonlyArray<Place>) => {
  const parent = parentOf(causes)
  const others = new Map(causes.map((cause) => [`${cause.traceId}${cause.spanId}`, cause]))
  if (parent !== undefined) others.delete(`${parent.traceId}${parent.spanId}`)
  const links = [...others.values()].filter(({ sampled }) => sampled).map((span) => ({ span, attributes: {} }))
  return { parent, links }
}

/**
 * Work that gets a span: a request, a message that is sent or processed. Its name and attributes are read only when a span
 * is made.
 */
export interface TracedWork {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly causes: ReadonlyArray<Place>
  readonly attributes: Readonly<Record<string, unknown>>
}

/**
 * Runs the work in a span that follows from its causes, and traces everything within it. Work outside is not traced. Without
 * an exporter no span is made; logs and events then have only the ids.
 */
export const traced = <A, E, R>(
  work: TracedWork,
  run: (span: Tracer.Span | undefined) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const { causes } = work
    if (!isTraced(fiber, causes)) {
      const placed = Effect.provideService(run(undefined), Untraced, next(parentOf(causes)))
      return fiber.getRef(References.TracerEnabled) ? Effect.withTracerEnabled(placed, false) : placed
    }
    const { name, kind, attributes } = work
    const { parent, links } = follow(causes)
    const options = { kind, links, attributes, ...(parent === undefined ? { root: true } : { parent }) }
    return Effect.useSpan(name, options, (span) => Effect.provideService(run(span), Tracer.ParentSpan, span)).pipe(
      Effect.provideService(References.TracerEnabled, true),
      Effect.provideService(Untraced, undefined),
    )
  })

/** Runs work for several callers as part of their traces; for a single caller, as part of the caller's trace. */
export const onBehalfOf =
  (callers: ReadonlyArray<Place>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) => {
      if (callers.length === 0 || !isTraced(fiber, callers)) return work
      const { parent, links } = follow(callers)
      const context = Context.make(References.TracerEnabled, true).pipe(
        Context.add(References.TracerSpanLinks, links),
        Context.add(Untraced, undefined),
      )
      return Effect.provideContext(
        work,
        parent === undefined ? context : Context.add(context, Tracer.ParentSpan, parent),
      )
    })

/** Log lines within this work name the place, if there is one. */
export const loggedAt =
  (place: Place | undefined) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    place === undefined ? work : Effect.provideService(work, Untraced, place)

/** A place that follows `parent`, or that begins a trace which later work may record. */
const next = (parent: Place | undefined): Place =>
  Tracer.externalSpan({
    spanId: randomHex(8),
    traceId: parent?.traceId ?? randomHex(16),
    sampled: parent?.sampled ?? true,
  })

/** Random bytes are fetched in blocks, because each call is expensive. */
const pool = Buffer.alloc(4_096)
let used = pool.length

const randomHex = (bytes: number) => {
  if (used + bytes > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += bytes
  return pool.toString("hex", used - bytes, used)
}
