import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { isWhole } from "../../vitest.config.ts"
import { brokenOf, parityDocument, promiseRows, type ReportedTest, resultOf, shapes } from "./promises.ts"

/**
 * `npm run parity` prints two tables: which promise was shown in which shape, by the reports of the last `npm test` and
 * `npm run test:whole`, and which driver of a port has which of its properties. `-- --write` writes `PARITY.md`.
 *
 * For the second it runs the suites of the ports that have several drivers, and prints what vitest's report says of each property: whether
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

interface Report {
  readonly testResults: ReadonlyArray<{ readonly assertionResults: ReadonlyArray<ReportedTest> }>
}

const files = suites.flatMap(({ files }) => files)
let isGreen = true

const readReport = (path: string) => {
  const { testResults } = JSON.parse(readFileSync(path, "utf8")) as Report
  return testResults.flatMap((file) => file.assertionResults)
}

const printTable = (table: ReadonlyArray<ReadonlyArray<string>>) => {
  const widths = table[0]!.map((_, n) => Math.max(...table.map((row) => row[n]!.length)))
  console.log(`\n${table.map((row) => row.map((cell, n) => cell.padEnd(widths[n]!)).join("  ")).join("\n")}\n`)
}

if (process.argv.includes("--write")) {
  writeFileSync(new URL("../../PARITY.md", import.meta.url), parityDocument())
  process.exit(0)
}

const last = [".cache/tests.json", ".cache/tests-whole.json"].filter(existsSync).flatMap(readReport)
const promiseTable = promiseRows.map((row) => [
  row.promise === undefined ? "the life of an order" : `promise ${row.promise}`,
  ...shapes.map((shape) => resultOf(row.shown[shape], last)),
  String(brokenOf(row)),
])
if (promiseTable.some((row) => row.includes("RED"))) isGreen = false
printTable([["", ...shapes, "broken variants"], ...promiseTable])

/** Runs the files by an npm script, and returns the tests of its report. The report of the last whole run is kept. */
const run = (script: string, report: string, own: ReadonlyArray<string>) => {
  const kept = existsSync(report) ? readFileSync(report) : undefined
  rmSync(report, { force: true })
  const { status } = spawnSync("npm", ["run", script, "--", ...own], { stdio: ["ignore", "inherit", "inherit"] })
  isGreen &&= status === 0
  if (!existsSync(report)) throw new Error(`npm run ${script} left no report`)
  const tests = readReport(report)
  if (kept !== undefined) writeFileSync(report, kept)
  return tests
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
  printTable([[port, ...drivers, "broken drivers caught"], ...rows])
}
console.log(
  isGreen ? "Every driver keeps every promise, and no promise was seen broken." : "NOT EVERY PROMISE IS KEPT.",
)
process.exitCode = isGreen ? 0 : 1
