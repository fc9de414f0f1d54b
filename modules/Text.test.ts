import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { Email, inOneLine, text } from "./Text.ts"

const isName = Schema.is(text(200))
const isEmail = Schema.is(Email)

describe("text", () => {
  it("has from 1 to so many characters", () => {
    expect(isName("")).toBe(false)
    expect(isName("a")).toBe(true)
    expect(isName("a".repeat(200))).toBe(true)
    expect(isName("a".repeat(201))).toBe(false)
  })

  it("counts characters, not what they are coded in", () => {
    expect(isName("😀".repeat(200))).toBe(true)
    expect(isName("😀".repeat(201))).toBe(false)
    expect(isName("é".repeat(200))).toBe(true)
  })

  it.each([" ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\ufeff"])(
    "is empty when it is white space only: %j",
    (blank) => expect(isName(blank)).toBe(false),
  )

  it("keeps white space round it and within it", () => {
    expect(Schema.decodeSync(text(200))(" Ada  Lovelace\u00a0")).toBe(" Ada  Lovelace\u00a0")
  })

  it("refuses every control character, wherever it stands, and no other character", () => {
    for (let code = 0; code < 0x3000; code++) {
      const character = String.fromCodePoint(code)
      const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0)
      for (const text of [`a${character}`, `${character}a`, `a${character}a`]) expect(isName(text)).toBe(!isControl)
    }
  })

  it.each(["a\ud800", "\udc00a", "\ude00\ud83d"])("refuses a lone surrogate: %j", (wrong) => {
    expect(isName(wrong)).toBe(false)
  })

  it("says the same in its JSON Schema, but for lone surrogates, which patterns cannot name", () => {
    const { schema } = Schema.toJsonSchemaDocument(text(200))
    const patterns = JSON.stringify(schema).match(/"pattern":"(?:[^"\\]|\\.)*"/gu)!
    const pattern = new RegExp(JSON.parse(`{${patterns.join()}}`).pattern, "u")
    for (const good of ["a", " a ", "😀", "é", "\u202ea"]) expect(pattern.test(good)).toBe(true)
    for (const bad of ["", " ", "a\nb", "a\u0000", "\u007fa", "a\u0085", "a\u009f", "\ta"])
      expect(pattern.test(bad)).toBe(false)
  })

  it.each([null, undefined, 1, true, {}, [], ["a"]])("is never %j", (wrong) => expect(isName(wrong)).toBe(false))

  it.prop("is nothing but a string that has a character and no control character", [Schema.String], ([any]) => {
    const characters = Array.from(any).length
    const printable = any.isWellFormed() && !/\p{Cc}/u.test(any)
    expect(isName(any)).toBe(any.trim() !== "" && characters <= 200 && printable)
  })
})

describe("text of another program, in one line", () => {
  it.each([
    ["card_declined", "card_declined"],
    [" a\u0000b\r\n\tc\u0085\u007f", "a b c"],
    ["a\ud800", "a\ufffd"],
    ["", ""],
    ["😀".repeat(201), "😀".repeat(200)],
    ["a".repeat(100_000), "a".repeat(200)],
  ])("of %j is %j", (foreign, line) => expect(inOneLine(foreign, 200)).toBe(line))

  it.prop("is text, or empty", [Schema.String], ([any]) => {
    const line = inOneLine(any, 200)
    expect(line === "" || isName(line)).toBe(true)
    if (isName(any) && any.trim() === any) expect(line).toBe(any)
  })
})

describe("Email", () => {
  it.each([
    "a@b.co",
    "Ada.Lovelace@Example.ORG",
    "ada+tag@mail.example.org",
    "o'neil@example.ie",
    "!#$%&'*+/=?^_`{|}~-@example.org",
    "1@1.1",
    "a@xn--mnchen-3ya.de",
    `a@${"b".repeat(63)}.de`,
  ])("takes %s", (email) => expect(isEmail(email)).toBe(true))

  it.each([
    "",
    " ",
    "ada",
    "ada@",
    "@example.org",
    "ada@example",
    "ada@@example.org",
    "ada@example@example.org",
    "ada lovelace@example.org",
    " ada@example.org",
    "ada@example.org ",
    "ada@example.org\n",
    "a\u0000da@example.org",
    "a\ud800@example.org",
    ".ada@example.org",
    "ada.@example.org",
    "a..da@example.org",
    "ada@.example.org",
    "ada@example..org",
    "ada@example.org.",
    "ada@-example.org",
    "ada@example-.org",
    "ada@exa_mple.org",
    "ada@example.org,eve@example.org",
    "Ada <ada@example.org>",
    "ada@[127.0.0.1]",
    "ädä@example.org",
    "ada@exämple.org",
    `a@${"b".repeat(64)}.de`,
  ])("refuses %j", (email) => expect(isEmail(email)).toBe(false))

  it("has at most 254 characters", () => {
    const email = (characters: number) => `${"a".repeat(characters - 5)}@b.de`
    expect(email(254)).toHaveLength(254)
    expect([254, 255].map((characters) => isEmail(email(characters)))).toEqual([true, false])
  })

  it("is refused at once however it is made to be slow to read", () => {
    const before = performance.now()
    for (const part of ["a", "a.", "a@", "a-", "a@a.", "a-a."])
      expect(isEmail(`a@${part.repeat(100_000)}!`)).toBe(false)
    expect(performance.now() - before).toBeLessThan(5_000)
  })
})
