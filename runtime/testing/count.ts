import { readFileSync } from "node:fs"

/** Prints the count of the last `npm test`, from vitest's own report, and fails when anything failed or nothing ran. */
interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{ readonly status: string; readonly assertionResults: ReadonlyArray<unknown> }>
}

const report = JSON.parse(readFileSync(".cache/tests.json", "utf8")) as Report
// A file that could not be loaded has no test of its own, and is a failure all the same.
const unloaded = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0)
const failed = report.numFailedTests + unloaded.length
const skipped = report.numPendingTests + report.numTodoTests
console.log(`${report.numPassedTests} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`)
process.exitCode = report.success && failed === 0 && report.numPassedTests > 0 ? 0 : 1
