import { describe, expect, it } from "vitest"
import { baseOf, brokenOf, parityDocument, promiseRows, resultOf } from "./commands/promises.ts"
import { named, read, rowsAfter, suites } from "./suites.ts"

describe("the promises of README", () => {
  it("each name the tests that enforce it, and these exist", () => {
    const rows = rowsAfter(read("README.md"), "## Promises")
    expect(rows.length).toBeGreaterThan(5)
    for (const [, number, , tests] of rows) {
      const names = named(tests!)
      expect(names.length, `promise ${number}`).toBeGreaterThan(0)
      expect(
        names.filter((name) => !suites.has(name)),
        `promise ${number} names tests that do not exist`,
      ).toEqual([])
    }
  })
})

describe("PARITY.md", () => {
  it("is current: npm run parity -- --write", () => expect(read("runtime/PARITY.md")).toBe(parityDocument()))

  it("has each promise, by suites that exist and have broken variants to catch", () => {
    const numbers = rowsAfter(read("README.md"), "## Promises").map(([, number]) => Number(number))
    expect(promiseRows.map(({ promise }) => promise)).toEqual([...numbers, undefined])
    for (const row of promiseRows) {
      const titles = Object.values(row.shown).flat()
      expect(titles.filter((title) => !suites.has(title) && !suites.has(baseOf(title)))).toEqual([])
      expect([row.promise, brokenOf(row) > 0]).toEqual([row.promise, true])
    }
  })

  it("has every suite that README names for a promise", () => {
    for (const [, number, , tests] of rowsAfter(read("README.md"), "## Promises")) {
      const row = promiseRows.find(({ promise }) => promise === Number(number))!
      const shown = Object.values(row.shown).flat().map(baseOf)
      expect([number, named(tests!).filter((name) => !shown.includes(name))]).toEqual([number, []])
    }
  })

  it("counts a cell by what a report says of its suites", () => {
    const test = (suite: string, status: string) => ({ ancestorTitles: [suite], title: "holds", status })
    expect(resultOf(["A", "B"], [test("A", "passed"), test("B", "passed"), test("B", "passed")])).toBe("3")
    expect(resultOf(["A", "B"], [test("A", "passed"), test("B", "failed")])).toBe("RED")
    expect(resultOf(["A", "B"], [test("A", "passed"), test("B", "skipped")])).toBe("not run")
    expect(resultOf(undefined, [])).toBe("–")
  })
})
