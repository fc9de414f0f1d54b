import { describe, expect, it } from "vitest"
import { plainOf, shortOf, tokensOf } from "./text.js"

describe("A foreign text", () => {
  it("shows what would be invisible or turn the text around", () => {
    expect(plainOf("a\u202eb\u0000c\u200bd\u0085")).toBe("a\\u202eb\\u0000c\\u200bd\\u0085")
    expect(plainOf("two\nlines\tand <b>markup</b> ü 😀")).toBe("two\nlines\tand <b>markup</b> ü 😀")
  })

  it("is cut after 64 KiB, and says so", () => {
    const long = plainOf("x".repeat(70_000))
    expect(long).toHaveLength(65_536 + "… 4464 characters more".length)
    expect(long.endsWith("… 4464 characters more")).toBe(true)
  })

  it("may be any value", () => {
    expect([undefined, null, 5, true, { a: 1 }].map(plainOf)).toEqual(["", "", "5", "true", `{"a":1}`])
  })

  it("as an id is shortened in the middle", () => {
    expect(shortOf("4711")).toBe("4711")
    expect(shortOf("4bf92f3577b34da6a3ce929d0e0e4736")).toBe("4bf9…0e4736")
  })
})

const joined = (json: string) =>
  tokensOf(json)
    .map(({ text }) => text)
    .join("")

describe("JSON", () => {
  it("is indented, with every digit and every escape as it came", () => {
    const json = String.raw`{"id":12345678901234567890,"price":1.10,"text":"a\u0041\"b","list":[1,-2e+5],"none":{},"empty":[]}`
    expect(joined(json)).toBe(String.raw`{
  "id": 12345678901234567890,
  "price": 1.10,
  "text": "a\u0041\"b",
  "list": [
    1,
    -2e+5
  ],
  "none": {},
  "empty": []
}`)
  })

  it("has kinds of token", () => {
    expect(tokensOf(`{"a":"b","c":true}`).filter(({ kind }) => !["mark", "space"].includes(kind))).toEqual([
      { kind: "key", text: `"a"` },
      { kind: "string", text: `"b"` },
      { kind: "key", text: `"c"` },
      { kind: "word", text: "true" },
    ])
  })

  it("shows what the server has hidden as one token", () => {
    expect(tokensOf(`{"email":{"hidden":"e-mail, 17 characters"}}`).at(-3)).toEqual({
      kind: "hidden",
      text: "e-mail, 17 characters",
    })
  })

  it("that is none stays as it is", () => {
    for (const text of ["", "{", `{"a":1,}`, "<script>", `{"a":'b'}`, "[1 2]"]) {
      expect(tokensOf(text)).toEqual([{ kind: "text", text }])
    }
  })
})
