import { describe, expect, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Schema } from "effect"
import { textOf } from "./defect.ts"

class Plain extends Error {
  override get message(): string {
    return "it is gone"
  }
}
class Private extends Error {
  readonly #what = "it"
  override get message(): string {
    return `${this.#what} is gone`
  }
}
class Tagged extends Schema.TaggedError<Tagged>()("Tagged", { what: Schema.String }) {
  override get message(): string {
    return `${this.what} is gone`
  }
}
class Datum extends Data.TaggedError("Datum")<{ readonly what: string }> {
  override get message(): string {
    return `${this.what} is gone`
  }
}

describe("The text of an error whose message is a getter", () => {
  it.effect.each([
    ["of a class", () => new Plain()],
    ["that reads what is private", () => new Private()],
    ["of a tagged error", () => new Tagged({ what: "it" })],
    ["of a data error", () => new Datum({ what: "it" })],
    ["of one thrown elsewhere", () => Object.defineProperty(new Error(), "message", { get: () => "it is gone" })],
  ] as const)("is what it says: %s", ([, make]) =>
    Effect.gen(function* () {
      expect(textOf(make())).toBe("it is gone")
      for (const failing of [
        Effect.die(make()),
        Effect.fail(make()),
        Effect.sync(() => {
          throw make()
        }),
        Effect.withSpan(Effect.die(make()), "span"),
        Effect.withSpan(Effect.fail(make()), "span"),
        Effect.orDie(Effect.fail(make())),
        Effect.tryPromise(async () => {
          throw make()
        }).pipe(Effect.mapError(({ cause }) => cause)),
      ]) {
        const exit = yield* Effect.exit(failing)
        expect(Exit.isFailure(exit) && textOf(Cause.squash(exit.cause))).toBe("it is gone")
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("it is gone")
      }
    }),
  )
})

describe("The text of what was thrown", () => {
  class CardRefused extends Error {
    override get message(): string {
      return (this as unknown as { card: { number: string } }).card.number
    }
  }
  class Empty extends Schema.TaggedError<Empty>()("Empty", {}) {}
  const nameless = new Proxy(new Error("hidden"), {
    get: () => {
      throw new Error("no")
    },
  })

  it.each([
    ["it broke", "it broke"],
    [new Error("it broke"), "it broke"],
    [new RangeError(), "RangeError"],
    [new Error(), "Error"],
    [new Empty(), "Empty"],
    ["", "String"],
    [undefined, "undefined"],
    [null, "null"],
    [Symbol("it"), "Symbol(it)"],
    [
      new CardRefused(),
      "CardRefused, whose message cannot be read: Cannot read properties of undefined (reading 'number')",
    ],
    [Object.create(null), /^an error without a name|Object/u],
    [nameless, /^an error without a name, whose message cannot be read: no$/u],
  ])("names the error whatever it is: %#", (thrown, text) => {
    if (text instanceof RegExp) expect(textOf(thrown)).toMatch(text)
    else expect(textOf(thrown)).toBe(text)
  })
})
