import { expect, it } from "@effect/vitest"
import { memberIn, replaced, valuesIn } from "./jsonText.ts"

const read = (json: string, depth = 100) =>
  [...valuesIn(json, depth)].map(({ path, start, end }) => `${path.join("/")}=${json.slice(start, end)}`)

it("valuesIn finds each value with its path and its own text", () => {
  expect(read('{"a": 12345678901234567890, "b" : [true, {"c\\"d":"x,}"}], "e":{}}')).toEqual([
    "a=12345678901234567890",
    "b/0=true",
    'b/1/c"d="x,}"',
    'b/1={"c\\"d":"x,}"}',
    'b=[true, {"c\\"d":"x,}"}]',
    "e={}",
    '={"a": 12345678901234567890, "b" : [true, {"c\\"d":"x,}"}], "e":{}}',
  ])
  expect(read("-1.5e3")).toEqual(["=-1.5e3"])
})

it("valuesIn leaves out what is deeper, however deep the text is", () => {
  const deep = `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)},"b":1}`
  expect(read(deep, 1).map((line) => line.slice(0, 5))).toEqual(["a=[[[", "b=1", '={"a"'])
})

it("memberIn finds the member that JSON.parse reads", () => {
  const json = '{"x":{"data":0},"data":1,"d\\u0061ta": [2]}'
  const { start, end } = memberIn(json, "data")!
  expect(json.slice(start, end)).toBe("[2]")
  expect(JSON.parse(json).data).toEqual([2])
  expect(memberIn('{"x":{"data":0}}', "data")).toBeUndefined()
  expect(memberIn("[1]", "data")).toBeUndefined()
})

it("replaced changes the places and nothing else", () => {
  expect(
    replaced("abcdef", [
      { start: 1, end: 2, by: "" },
      { start: 3, end: 5, by: "XYZ" },
    ]),
  ).toBe("acXYZf")
})
