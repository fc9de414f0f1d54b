import { expect, it } from "@effect/vitest"
import { Cause, Effect, Logger } from "effect"
import { describe } from "vitest"
import { lineOf } from "./logs.ts"
import { placeOf, traced } from "./trace.ts"

/** What is written while `work` runs. */
const written = (format: "json" | "pretty", work: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make((options) => void lines.push(lineOf(format, options)))
    yield* Effect.provide(work, Logger.layer([logger]))
    return lines
  })

const records = (work: Effect.Effect<unknown>) =>
  Effect.map(written("json", work), (lines) => lines.map((line) => JSON.parse(line)))

/** Our own colours, which a line may have. */
const colours = /\u001b\[\d+m/gu

/** What would pretend to be more than a part of its line. */
const attacks = {
  "a line of its own": 'key\n{"level":"info","message":"all is well"}',
  "a return": "key\r12:00:00.000 INFO  all is well",
  "an escape": "key\u001b[2J\u001b[31mred",
  "a C1 escape": "key\u009b2J",
  "a line separator": "key\u2028all is well\u2029",
  "another direction": "key\u202eetelpmoc",
  "a lone surrogate": "key\ud800",
  "a zero": "key\0",
  "a backspace": "key\b\b\bfine",
}

// oxlint-disable-next-line no-control-regex
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

describe("A log record", () => {
  it.effect("has time, level, message and module, then what belongs to the line", () =>
    Effect.gen(function* () {
      const work = Effect.logWarning("Order", "is late").pipe(Effect.annotateLogs({ order_id: 7, module: "order" }))
      const [line] = yield* written("json", work)
      expect(Object.keys(JSON.parse(line!))).toEqual(["timestamp", "level", "message", "module", "order_id"])
      expect(JSON.parse(line!)).toMatchObject({
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/u),
        level: "warn",
        message: "Order is late",
        module: "order",
        order_id: 7,
      })
      expect(yield* records(Effect.logInfo("up"))).toMatchObject([{ module: "runtime" }])
    }),
  )

  it.effect("is written for an error that cannot be printed", () =>
    Effect.gen(function* () {
      class CardRefused extends Error {
        override get message(): string {
          throw new Error("there is no card")
        }
      }
      const [line, other] = yield* records(
        Effect.andThen(
          Effect.logError("no", Cause.die(new CardRefused())),
          Effect.logInfo("still", { error: new CardRefused() }, new CardRefused()),
        ),
      )
      expect(line.cause).toMatch(/CardRefused|there is no card/u)
      expect(other.message).toMatch(/^still .*there is no card/u)
    }),
  )

  it.effect("names the trace within traced work, whether spans are made or not, and none outside", () =>
    Effect.gen(function* () {
      const cause = placeOf(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`)!
      const work = { name: "work", kind: "server" as const, causes: [cause], attributes: {} }
      const deep = Effect.withSpan(Effect.logInfo("deep"), "inside")
      const [outside, inside] = yield* records(
        Effect.andThen(
          Effect.logInfo("out"),
          traced(work, () => deep),
        ),
      )
      expect(outside).not.toHaveProperty("trace_id")
      expect(inside).toMatchObject({ trace_id: "a".repeat(32), span_id: expect.stringMatching(/^[0-9a-f]{16}$/u) })
      const untraced = Effect.withTracerEnabled(deep, false)
      expect((yield* records(untraced))[0]).not.toHaveProperty("trace_id")
    }),
  )

  it.effect("keeps its common fields, whatever a line adds", () =>
    Effect.gen(function* () {
      const own = { level: "fatal", message: "mine", timestamp: "never", trace_id: "mine", order_id: 1 }
      const [record] = yield* records(
        traced({ name: "work", kind: "server", causes: [], attributes: {} }, () =>
          Effect.logInfo("theirs").pipe(Effect.annotateLogs(own)),
        ),
      )
      expect(record).toMatchObject({ level: "info", message: "theirs", order_id: 1 })
      expect(record.timestamp).not.toBe("never")
      expect(record.trace_id).not.toBe("mine")
    }),
  )

  const everywhere = (text: string) =>
    Effect.logInfo(`key ${text}`, { nested: text }, new Error(text)).pipe(Effect.annotateLogs({ [text]: text }))

  it.effect.each(Object.entries(attacks))("is one line without anything unprintable, given %s", ([, text]) =>
    Effect.gen(function* () {
      for (const format of ["json", "pretty"] as const) {
        const lines = yield* written(format, everywhere(text))
        expect(lines).toHaveLength(1)
        const shown = lines[0]!.replace(colours, "")
        expect(shown).not.toMatch(unprintable)
        expect(shown.isWellFormed()).toBe(true)
      }
      for (const record of yield* records(everywhere(text))) {
        for (const part of Object.entries(record).flat()) expect(String(part)).not.toMatch(unprintable)
      }
    }),
  )

  it.effect.each(Object.entries(attacks))("keeps the lines of a stack trace below its own, given %s", ([, text]) =>
    Effect.gen(function* () {
      const failing = Effect.sandbox(Effect.die(new Error(text))).pipe(
        Effect.catch((cause) => Effect.logError("it failed", cause)),
      )
      const [first, ...others] = (yield* written("pretty", failing)).join("\n").split("\n")
      expect(first).toMatch(/it failed/u)
      expect(others.length).toBeGreaterThan(1)
      for (const line of others) expect(line).toMatch(/^ {4}\P{Cc}*$/u)
      const lines = yield* written("json", failing)
      expect(lines.join().includes("\n")).toBe(false)
      expect(JSON.parse(lines[0]!).cause.replaceAll("\n", "")).not.toMatch(unprintable)
    }),
  )

  it.effect("contains no e-mail address, and no user or password of a URL", () =>
    Effect.gen(function* () {
      const text = "no account ada.lovelace+shop@example.org at postgres://galleria:hush@db.internal:5432/galleria"
      const failing = Effect.logError(text, { to: "ada.lovelace@example.org" }).pipe(
        Effect.annotateLogs({ mail: "<ada.lovelace@example.org>" }),
      )
      for (const format of ["json", "pretty"] as const) {
        const [line] = yield* written(format, failing)
        expect(line).not.toMatch(/lovelace|example\.org|hush|galleria:/u)
        expect(line).toMatch(/no account …@… at postgres:\/\/…@…:5432\/galleria/u)
      }
    }),
  )

  it.effect("is written for any value, with a limited length", () =>
    Effect.gen(function* () {
      const round: Record<string, unknown> = {}
      round["round"] = round
      const [record] = yield* records(
        Effect.logInfo(round, 7n, undefined, "x".repeat(1_000_000)).pipe(Effect.annotateLogs({ round, big: 7n })),
      )
      expect(record.message.length).toBeLessThan(10_000)
      expect(record.round).toEqual(expect.any(String))
    }),
  )
})
