import { globSync, readFileSync } from "node:fs"

const root = new URL("../..", import.meta.url)

/** A file, by its path from the project's folder. */
export const read = (path: string) => readFileSync(new URL(path, root), "utf8")

/** The names of the suites in the text of a file; of one for each driver, the part that they share. */
export const suitesIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/(?:describe(?:\.concurrent)?|suiteOnEveryDatabase|\))\(\s*["`]([^"`$]+?)["`]? ?[,(]/gu)].map(
    ([, name]) => name!,
  )

/** The names of all suites, as their files give them. */
export const suites = new Set(
  globSync(["{modules,runtime}/**/*.test.ts", "runtime/**/*Suite.ts", "runtime/test/journey.ts"], {
    cwd: root,
  }).flatMap((path) => suitesIn(read(path))),
)

/** The rows of the first table after a heading: their cells. */
export const rowsAfter = (text: string, heading: string) =>
  text
    .slice(text.indexOf(`${heading}\n`))
    .split("\n\n")
    .find((part) => part.startsWith("|"))!
    .trimEnd()
    .split("\n")
    .slice(2)
    .map((row) => row.split("|").map((cell) => cell.trim()))

/** The names of suites in a cell. */
export const named = (cell: string) => [...cell.matchAll(/\*([^*]+)\*/gu)].map(([, name]) => name!)
