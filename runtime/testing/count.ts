import { readFileSync } from "node:fs"

/**
 * Prints the count of the last `npm test` and `npm run test:whole`, from vitest's own reports, and fails when anything failed
 * or one of them did not run.
 */
interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{ readonly status: string; readonly assertionResults: ReadonlyArray<unknown> }>
}

const reports = [".cache/tests.json", ".cache/tests-whole.json"].map(
  (path) => JSON.parse(readFileSync(path, "utf8")) as Report,
)
const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0)
// A file that could not be loaded has no test of its own, and is a failure all the same.
const unloaded = (report: Report) =>
  report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length
const failed = sum((report) => report.numFailedTests + unloaded(report))
const skipped = sum((report) => report.numPendingTests + report.numTodoTests)
console.log(
  `${sum((report) => report.numPassedTests)} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`,
)
const isGood = reports.every((report) => report.success && report.numPassedTests > 0)
process.exitCode = isGood && failed === 0 ? 0 : 1
