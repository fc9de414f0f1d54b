import { globSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { read } from "../suites.ts"
import { namesIn, patched } from "./Mutant.ts"
import { mutants } from "./mutants.ts"

const root = new URL("../../..", import.meta.url)
const tests = globSync("{modules,runtime}/**/*.ts", { cwd: root })
  .filter((path) => !path.includes("/mutants/"))
  .map(read)
  .join("\n")

/** What a name says before anything is put into it. */
const isWritten = (name: string) => tests.includes(name.replace(/ \((?:embedded|postgres|kafka)\)$/u, ""))

describe("The mutants", () => {
  it("are many, each of a name of its own", () => {
    expect(mutants.length).toBeGreaterThanOrEqual(40)
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length)
  })

  it.each(mutants)("apply to the sources as they are: $name", (mutant) => {
    expect(patched(read(mutant.file), mutant), `the text to replace, exactly once in ${mutant.file}`).toBeDefined()
    expect(globSync(mutant.test, { cwd: root }), `the test file ${mutant.test}`).toEqual([mutant.test])
    expect(
      namesIn(mutant).filter((name) => !isWritten(name)),
      "tests that do not exist",
    ).toEqual([])
  })

  it("do not apply to a text that has the place twice, or not at all", () => {
    const change = { find: "a", replace: "b" }
    expect(["xax", "xx", "axa"].map((text) => patched(text, change))).toEqual(["xbx", undefined, undefined])
  })
})
