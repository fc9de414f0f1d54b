import { readFileSync } from "node:fs"

/**
 * Prints each failed test of the last `npm test` and `npm run test:whole` with its reason, and then the count of both, from
 * vitest's own reports. Fails when anything failed or one of them did not run.
 */
interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: ReadonlyArray<Test>
  }>
}
interface Test {
  readonly fullName: string
  readonly status: string
  readonly failureMessages?: ReadonlyArray<string>
}

const reports = [".cache/tests.json", ".cache/tests-whole.json"].map(
  (path) => JSON.parse(readFileSync(path, "utf8")) as Report,
)
const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0)
// A file that could not be loaded has no test of its own, and is a failure all the same.
const unloaded = (report: Report) =>
  report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length
const failed = sum((report) => report.numFailedTests + unloaded(report))
for (const file of reports.flatMap((report) => report.testResults).filter((one) => one.status === "failed")) {
  const tests = file.assertionResults.filter((test) => test.status === "failed")
  console.log(`✗ ${file.name}${tests.length === 0 ? `\n${file.message}` : ""}`)
  for (const test of tests) {
    console.log(`  ${test.fullName}\n${(test.failureMessages ?? []).join("\n").slice(0, 2_000)}`)
  }
}
const skipped = sum((report) => report.numPendingTests + report.numTodoTests)
console.log(
  `${sum((report) => report.numPassedTests)} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`,
)
const isGood = reports.every((report) => report.success && report.numPassedTests > 0)
process.exitCode = isGood && failed === 0 ? 0 : 1
