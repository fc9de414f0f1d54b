import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { isWhole } from "../../vitest.config.ts"

/**
 * Runs the suites of the ports that have several drivers, and prints what vitest's report says of each property: whether
 * every driver keeps it, and how many broken drivers it was seen to catch. Fails when a cell is red or missing, or when
 * a property never caught anything.
 *
 * A suite's tests are described as `<port> (<driver>)`, one test for each property; its broken drivers are tests of
 * `<port>Suite`, or of `<port>Suite (<driver>)`, described by the property that has to notice.
 */
const suites = [
  {
    port: "EventBus",
    drivers: ["embedded", "kafka"],
    files: [
      "runtime/events/suite/EventBusSuite.whole.test.ts",
      "runtime/events/embedded/EmbeddedEventBus.test.ts",
      "runtime/events/kafka/KafkaEventBus.whole.test.ts",
      "runtime/events/kafka/broken.whole.test.ts",
    ],
  },
  {
    port: "Database",
    drivers: ["embedded", "postgres 17", "postgres 18"],
    files: ["runtime/sql/suite/DatabaseSuite.test.ts", "runtime/sql/Database.test.ts"],
  },
]

interface Test {
  readonly ancestorTitles: ReadonlyArray<string>
  readonly title: string
  readonly status: string
}

interface Report {
  readonly testResults: ReadonlyArray<{ readonly assertionResults: ReadonlyArray<Test> }>
}

const files = suites.flatMap(({ files }) => files)
let isGreen = true

/** Runs the files by an npm script, and returns the tests of its report. */
const run = (script: string, report: string, own: ReadonlyArray<string>) => {
  rmSync(report, { force: true })
  const { status } = spawnSync("npm", ["run", script, "--", ...own], { stdio: ["ignore", "inherit", "inherit"] })
  isGreen &&= status === 0
  if (!existsSync(report)) throw new Error(`npm run ${script} left no report`)
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as Report
  return testResults.flatMap((file) => file.assertionResults)
}
const tests = [
  ...run(
    "test",
    ".cache/tests.json",
    files.filter((file) => !isWhole(file)),
  ),
  ...run("test:whole", ".cache/tests-whole.json", files.filter(isWhole)),
]

for (const { port, drivers } of suites) {
  const kept = (driver: string, property: string) =>
    tests.filter(({ ancestorTitles: [suite], title }) => suite === `${port} (${driver})` && title === property)
  const broken = (property: string) =>
    tests.filter(
      ({ ancestorTitles: [suite, of] }) =>
        (suite === `${port}Suite` || suite?.startsWith(`${port}Suite (`)) && of === property,
    )
  const properties = new Set(
    tests.filter(({ ancestorTitles: [suite] }) => suite?.startsWith(`${port} (`)).map(({ title }) => title),
  )
  const rows = [...properties].map((property) => {
    const cells = drivers.map((driver) => {
      const results = kept(driver, property).map(({ status }) => status)
      return results.length === 0 ? "missing" : results.every((result) => result === "passed") ? "green" : "RED"
    })
    const results = broken(property)
    const caught = results.filter(({ status }) => status === "passed").length
    if (cells.some((cell) => cell !== "green") || caught === 0 || caught < results.length) isGreen = false
    return [property, ...cells, caught < results.length ? `${caught} of ${results.length}` : String(caught)]
  })
  if (rows.length === 0) isGreen = false
  const table = [[port, ...drivers, "broken drivers caught"], ...rows]
  const widths = table[0]!.map((_, n) => Math.max(...table.map((row) => row[n]!.length)))
  console.log(`\n${table.map((row) => row.map((cell, n) => cell.padEnd(widths[n]!)).join("  ")).join("\n")}\n`)
}
console.log(isGreen ? "Every driver keeps every promise." : "NOT EVERY DRIVER KEEPS EVERY PROMISE.")
process.exitCode = isGreen ? 0 : 1
