import { describe, expect, it } from "vitest"
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
