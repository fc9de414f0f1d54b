import { describe, expect, it } from "@effect/vitest"
import { differencesOf } from "./compare.ts"

const text = { type: "string" }
const whole = (properties: object, required: ReadonlyArray<string> = []) => ({ type: "object", properties, required })
const found = (before: object, after: object, defs: object = {}) =>
  differencesOf({ schema: before, defs }, { schema: after, defs }).map((one) => [
    `${one.at} ${one.words}`.trim(),
    `${one.breaksNewReaders ? "new" : ""}${one.breaksOldReaders ? "old" : ""}`,
  ])

describe("the differences of two schemas", () => {
  it.each<readonly [what: string, before: object, after: object, words: string, breaks: string]>([
    ["a removed member", whole({ a: text, b: { type: "null" } }), whole({ a: text }), "b is removed", "old"],
    ["a renamed member", whole({ a: text }, ["a"]), whole({ b: text }, ["b"]), "a is renamed to `b`", "newold"],
    ["a renamed optional member", whole({ a: text }), whole({ b: text }), "a is renamed to `b`", "old"],
    ["another type", whole({ a: text }), whole({ a: { type: "integer" } }), "a was string, and is integer", "newold"],
    ["integers only", { type: "number" }, { type: "integer" }, "was any number, and is an integer", "new"],
    ["all numbers", { type: "integer" }, { type: "number" }, "was an integer, and can be any number", "old"],
    ["a new required member", whole({}), whole({ a: text }, ["a"]), "a is new, and required", "new"],
    ["a newly required member", whole({ a: text }), whole({ a: text }, ["a"]), "a is newly required", "new"],
    ["a member now optional", whole({ a: text }, ["a"]), whole({ a: text }), "a is no longer always there", "old"],
    ["a value more", { enum: ["a"] }, { enum: ["a", "b"] }, "can now also be `b`", "old"],
    ["a value less", { enum: ["a", "b"] }, { enum: ["b"] }, "can no longer be `a`", "new"],
    ["a closed list", text, { ...text, enum: ["a"] }, "can only be `a`", "new"],
    ["an opened list", { ...text, enum: ["a"] }, text, "can now be other than `a`", "old"],
    ["a type more", { anyOf: [text] }, { anyOf: [text, { type: "null" }] }, "can now also be null", "old"],
    ["a type less", { anyOf: [text, { type: "null" }] }, text, "can no longer be null", "new"],
    [
      "a higher minimum",
      { type: "integer" },
      { type: "integer", minimum: 2 },
      "has another minimum: -Infinity, now 2",
      "new",
    ],
    [
      "a higher maximum",
      { ...text, maxLength: 2 },
      { ...text, maxLength: 3 },
      "has another maxLength: 2, now 3",
      "old",
    ],
    ["a pattern", text, { ...text, pattern: "^a$" }, 'has a pattern now: "^a$"', "new"],
    ["no format", { ...text, format: "date" }, text, 'has no format any more: "date"', "old"],
    [
      "another pattern",
      { ...text, pattern: "a" },
      { ...text, pattern: "b" },
      'has another pattern: "a", now "b"',
      "newold",
    ],
    [
      "within a list",
      whole({ a: { type: "array", items: whole({ b: text }) } }),
      whole({ a: { type: "array", items: whole({ b: { type: "null" } }) } }),
      "a[].b was string, and is null",
      "newold",
    ],
    [
      "a condition beside a type",
      { ...whole({ a: text, b: text }), anyOf: [{ required: ["a"] }, { required: ["b"] }] },
      { ...whole({ a: text, b: text }), anyOf: [{ required: ["a"] }] },
      'has another anyOf: [{"required":["a"]},{"required":["b"]}], now [{"required":["a"]}]',
      "newold",
    ],
  ])("have %s", (_what, before, after, words, breaks) => {
    expect(found(before, after)).toEqual([[words, breaks]])
    expect(found(before, before)).toEqual([])
    expect(found(after, after)).toEqual([])
  })

  it("follow references, on both sides", () => {
    const before = { schema: whole({ a: { $ref: "#/$defs/A" } }), defs: { A: text } }
    const after = { schema: whole({ a: { $ref: "#/components/schemas/B" } }), defs: { B: { ...text, minLength: 1 } } }
    expect(differencesOf(before, { ...after, defs: { B: text } })).toEqual([])
    expect(differencesOf(before, after)).toMatchObject([{ at: "a", words: "has another minLength: -Infinity, now 1" }])
  })

  it.each([
    ["an optional member more", whole({ a: text }, ["a"]), whole({ a: text, b: text }, ["a"])],
    ["other words", { ...text, description: "A." }, { ...text, description: "B.", examples: ["b"], title: "B" }],
    ["another order", whole({ a: text, b: text }, ["a", "b"]), whole({ b: text, a: text }, ["b", "a"])],
    ["alternatives in another order", { anyOf: [text, { type: "null" }] }, { anyOf: [{ type: "null" }, text] }],
  ])("are none: %s", (_what, before, after) => {
    expect(found(before, after)).toEqual([])
  })
})
