import { globSync, readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

const root = new URL("../..", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")

/** The names of all suites, as their files give them; of one for each driver, the part that they share. */
const suites = new Set(
  globSync(["{modules,runtime}/**/*.test.ts", "runtime/**/*Suite.ts"], { cwd: root }).flatMap((path) =>
    [
      ...read(path).matchAll(/(?:describe(?:\.concurrent)?|suiteOnEveryDatabase|\))\(\s*["`]([^"`$]+?)["`]? ?[,(]/gu),
    ].map(([, name]) => name!),
  ),
)

/** The rows of the first table after a heading: their cells. */
const rowsAfter = (text: string, heading: string) =>
  text
    .slice(text.indexOf(heading))
    .split("\n\n")
    .find((part) => part.startsWith("|"))!
    .split("\n")
    .slice(2)
    .map((row) => row.split("|").map((cell) => cell.trim()))

describe("the promises of README", () => {
  it("each name the tests that hold it, and these exist", () => {
    const rows = rowsAfter(read("README.md"), "## Promises")
    expect(rows.length).toBeGreaterThan(5)
    for (const [, number, , tests] of rows) {
      const named = [...tests!.matchAll(/\*([^*]+)\*/gu)].map(([, name]) => name!)
      expect(named.length, `promise ${number}`).toBeGreaterThan(0)
      expect(
        named.filter((name) => !suites.has(name)),
        `promise ${number} names tests that do not exist`,
      ).toEqual([])
    }
  })
})
