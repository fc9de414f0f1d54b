import { Context, Effect, type Fiber, Option, References, Tracer } from "effect"
import { randomFillSync } from "node:crypto"

/** A place in a trace: what `traceparent` names, what a log line is found by. */
export type Place = Tracer.AnySpan

const shape = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/u

/** The place that a `traceparent` names (W3C Trace Context §3.2); undefined when it names none. */
export const placeOf = (traceparent: string | null | undefined): Place | undefined => {
  const [, version, traceId, spanId, flags, more] = shape.exec(traceparent ?? "") ?? []
  if (traceId === undefined || spanId === undefined || (version === "00" && more !== undefined)) return undefined
  if (/^0+$/u.test(traceId) || /^0+$/u.test(spanId)) return undefined
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags!, 16) & 1) === 1 })
}

export const traceparentOf = ({ traceId, spanId, sampled }: Place) => `00-${traceId}-${spanId}-0${sampled ? 1 : 0}`

/**
 * The place of work that is not traced. A fiber looks for its `ParentSpan`, and for much else, whenever one is set; this
 * costs nothing.
 */
const Untraced = Context.Reference<Place | undefined>("galleria/Untraced", { defaultValue: () => undefined })

/** The place that work in this context is at. Where nothing is traced Effect has spans without one: they are left out. */
export const placeIn = (context: Context.Context<never>): Place | undefined => {
  const place = Context.get(context, Untraced)
  if (place !== undefined) return place
  let span = Context.getOrUndefined(context, Tracer.ParentSpan)
  while (span !== undefined && Context.get(span.annotations, Tracer.DisablePropagation)) {
    span = span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined
  }
  return span
}

/** Whether spans go anywhere. Where they don't none are made, for each takes time. */
export const isExported = (fiber: Fiber.Fiber<unknown, unknown>) => fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer

const isTraced = (fiber: Fiber.Fiber<unknown, unknown>, causes: ReadonlyArray<Place>) =>
  isExported(fiber) && (causes.length === 0 || causes.some(({ sampled }) => sampled))

/** What follows from several causes is a child of the first when they are of one trace, else a trace of its own. */
const parentOf = (causes: ReadonlyArray<Place>) => {
  const [first] = causes
  return causes.every(({ traceId }) => traceId === first?.traceId) ? first : undefined
}

/** It has a link to each cause that is not its parent, as the conventions for messages in batches have it. */
const follow = (causes: ReadonlyArray<Place>) => {
  const parent = parentOf(causes)
  const others = new Map(causes.map((cause) => [`${cause.traceId}${cause.spanId}`, cause]))
  if (parent !== undefined) others.delete(`${parent.traceId}${parent.spanId}`)
  const links = [...others.values()].filter(({ sampled }) => sampled).map((span) => ({ span, attributes: {} }))
  return { parent, links }
}

/**
 * A part of a trace that others meet: a request, a message that is sent or processed. Its name and attributes are looked
 * at only when there is to be a span.
 */
export interface Work {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly causes: ReadonlyArray<Place>
  readonly attributes: Readonly<Record<string, unknown>>
}

/**
 * Does the work as a span that follows from its causes, and everything within as spans of that one. Outside of such
 * work nothing is traced. Without an exporter no span is made: there is only a place, for logs and events to name.
 */
export const traced = <A, E, R>(
  work: Work,
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

/** Does what several callers wait for as a part of their traces; a single caller's goes on as if it did it itself. */
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

/** Lines that are logged within name the place, if there is one. */
export const loggedAt =
  (place: Place | undefined) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    place === undefined ? work : Effect.provideService(work, Untraced, place)

/** A place after `parent`, or at the start of a trace that whoever comes later may record. */
const next = (parent: Place | undefined): Place =>
  Tracer.externalSpan({
    spanId: randomHex(8),
    traceId: parent?.traceId ?? randomHex(16),
    sampled: parent?.sampled ?? true,
  })

/** Random bytes are asked for by many at a time, for to ask takes longer than to make them. */
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
