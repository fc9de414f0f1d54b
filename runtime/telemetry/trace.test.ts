import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Option, References, Tracer } from "effect"
import { SqlError } from "effect/sql"
import { describe } from "vitest"
import { coalesce } from "../sql/coalesce.ts"
import { processing, publishing } from "./messages.ts"
import { onBehalfOf, placeIn, placeOf, traced, traceparentOf } from "./trace.ts"

const trace = (digit: string) => digit.repeat(32)
const cause = (digit: string, span: string, flags = "01") => `00-${trace(digit)}-${span.repeat(16)}-${flags}`
const place = (digit: string, span: string, flags?: string) => placeOf(cause(digit, span, flags))!

/** A tracer that remembers every span, as an exporter would. */
const remembering = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    },
  })
  const ended = () =>
    spans.map(({ name, parent, links, attributes }) => ({
      name,
      parent: Option.getOrUndefined(Option.map(parent, ({ spanId }) => spanId)),
      links: links.map(({ span }) => span.spanId),
      attributes: Object.fromEntries(attributes),
    }))
  return { spans, ended, trace: Effect.provideService(Tracer.Tracer, tracer) }
}

const work = (...causes: ReadonlyArray<Tracer.AnySpan>) => ({
  name: "work",
  kind: "consumer" as const,
  causes,
  attributes: {},
})
const here = Effect.map(Effect.context(), placeIn)

describe("traceparent", () => {
  it("is parsed by the W3C rules, and formatted again", () => {
    const text = cause("a", "b")
    expect(traceparentOf(placeOf(text)!)).toBe(text)
    expect(traceparentOf(placeOf(cause("a", "b", "00"))!)).toBe(cause("a", "b", "00"))
    expect(traceparentOf(placeOf(`cc${text.slice(2)}-what-comes-later`)!)).toBe(text)
  })

  it.each([
    "",
    "nonsense",
    cause("0", "b"),
    cause("a", "0"),
    cause("A", "b"),
    `ff${cause("a", "b").slice(2)}`,
    `${cause("a", "b")}-more`,
    `${cause("a", "b")}\r\nx: y`,
    ` ${cause("a", "b")}`,
  ])("is invalid: %j", (text) => {
    expect(placeOf(text)).toBeUndefined()
  })
})

describe("Work that is traced", () => {
  it.effect("is a child of its one cause, and begins a trace without any", () =>
    Effect.gen(function* () {
      const { ended, trace } = remembering()
      yield* traced(work(place("a", "b")), () => Effect.void).pipe(trace)
      yield* traced(work(), () => Effect.void).pipe(Effect.withParentSpan(place("a", "c")), trace)
      expect(ended()).toMatchObject([
        { parent: "b".repeat(16), links: [] },
        { parent: undefined, links: [] },
      ])
    }),
  )

  it.effect("is linked to each of several causes, and within their trace when that is one", () =>
    Effect.gen(function* () {
      const { ended, spans, trace: run } = remembering()
      yield* traced(work(place("a", "1"), place("b", "2"), place("b", "2")), () => Effect.void).pipe(run)
      yield* traced(work(place("a", "1"), place("a", "2"), place("a", "1")), () => Effect.void).pipe(run)
      expect(ended()).toMatchObject([
        { parent: undefined, links: ["1".repeat(16), "2".repeat(16)] },
        { parent: "1".repeat(16), links: ["2".repeat(16)] },
      ])
      expect([trace("a"), trace("b")]).not.toContain(spans[0]!.traceId)
    }),
  )

  it.effect("makes no span without an exporter or for an untraced caller, but has a place", () =>
    Effect.gen(function* () {
      const { spans, trace: run } = remembering()
      const inside = Effect.withSpan(here, "inside")
      const unsampled = yield* traced(work(place("a", "b", "00")), () => inside).pipe(run)
      const alone = yield* traced(work(), () => inside)
      const child = yield* traced(work(place("a", "b")), () => inside)
      expect(spans).toEqual([])
      expect(unsampled).toMatchObject({ traceId: trace("a"), sampled: false })
      expect(unsampled!.spanId).not.toBe("b".repeat(16))
      expect(child).toMatchObject({ traceId: trace("a"), sampled: true })
      expect(traceparentOf(alone!)).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/u)
    }),
  )

  it.effect("traces what is within, although nothing around it is traced", () =>
    Effect.gen(function* () {
      const { ended, trace: run } = remembering()
      const inside = Effect.withSpan(Effect.void, "inside")
      yield* Effect.andThen(
        inside,
        traced(work(), () => inside),
      ).pipe(Effect.provideService(References.TracerEnabled, false), run)
      expect(ended().map(({ name }) => name)).toEqual(["work", "inside"])
    }),
  )
})

describe("Messages", () => {
  const message = (topic: string, id: string, traceparent?: string) => ({
    topic,
    headers: { ce_id: id, ...(traceparent === undefined ? {} : { traceparent }) },
  })

  it.effect("are published in a span for each topic, that counts several and names one", () =>
    Effect.gen(function* () {
      const { ended, trace: run } = remembering()
      const records = [
        message("a", "1", cause("a", "1")),
        message("b", "2", cause("b", "2")),
        message("a", "3", cause("c", "3")),
        message("a", "4"),
      ]
      const sending = Effect.withSpan(Effect.void, "statements of the log")
      yield* sending.pipe(publishing(records), run)
      const byName = Object.fromEntries(ended().map((span) => [span.name, span]))
      expect(Object.keys(byName).sort()).toEqual(["publish a", "publish b"])
      expect(byName["publish a"]).toMatchObject({
        parent: undefined,
        links: ["1".repeat(16), "3".repeat(16)],
        attributes: { "messaging.batch.message_count": 3, "messaging.destination.name": "a" },
      })
      expect(byName["publish a"]!.attributes).not.toHaveProperty("messaging.message.id")
      expect(byName["publish b"]).toMatchObject({
        parent: "2".repeat(16),
        links: [],
        attributes: { "messaging.message.id": "2", "messaging.destination.name": "b" },
      })
      expect(byName["publish b"]!.attributes).not.toHaveProperty("messaging.batch.message_count")
    }),
  )

  it.effect("are processed in batches in a span that is linked to each", () =>
    Effect.gen(function* () {
      const { ended, trace: run } = remembering()
      const messages = ["1", "2"].map((n) => ({ event: { id: n }, record: message("a", n, cause(n, n)) }))
      yield* Effect.void.pipe(processing({ module: "user", reaction: "user.record", messages }), run)
      expect(ended()).toMatchObject([
        {
          name: "process a",
          parent: undefined,
          links: ["1".repeat(16), "2".repeat(16)],
          attributes: {
            "messaging.batch.message_count": 2,
            "messaging.consumer.group.name": "user_service_group",
            "messaging.operation.type": "process",
          },
        },
      ])
    }),
  )
})

describe("Callers that share a statement", () => {
  it.effect("have the statement in their trace when all have one, and otherwise linked to each", () =>
    Effect.gen(function* () {
      const { ended, trace: run } = remembering()
      const statement = Effect.withSpan(Effect.void, "statement")
      yield* statement.pipe(onBehalfOf([place("a", "1")]), run)
      yield* statement.pipe(onBehalfOf([place("a", "1"), place("b", "2")]), run)
      yield* statement.pipe(onBehalfOf([place("a", "1", "00")]), Effect.withTracerEnabled(false), run)
      expect(ended()).toMatchObject([
        { parent: "1".repeat(16), links: [] },
        { parent: undefined, links: ["1".repeat(16), "2".repeat(16)] },
      ])
    }),
  )

  it.live("are passed to the statement that they share", () =>
    Effect.gen(function* () {
      const { ended, trace: run } = remembering()
      const begun = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const many = (inputs: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>, SqlError.SqlError> =>
        Effect.withSpan(
          Effect.as(Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate)), inputs),
          inputs.join(),
        )
      yield* Effect.gen(function* () {
        const call = yield* coalesce("test", many, false)
        const from = (digit: string) => Effect.forkChild(Effect.withParentSpan(call(digit), place(digit, digit)))
        yield* from("1")
        yield* Deferred.await(begun)
        for (const digit of ["2", "3"]) yield* from(digit)
        yield* Effect.yieldNow
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.withParentSpan(call("4"), place("4", "4"))
      }).pipe(run)
      expect(ended()).toMatchObject([
        { name: "1", parent: "1".repeat(16), links: [] },
        { name: "2,3,4", parent: undefined, links: ["2".repeat(16), "3".repeat(16), "4".repeat(16)] },
      ])
    }),
  )
})
