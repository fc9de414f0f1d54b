/**
 * `npm run model [-- --quick] [-- --only TEXT]`: looks at every state of every variant of the delivery protocol, prints
 * how each that breaks does so, and a table. Exit code 1 when one that holds is found to break, or the other way round.
 */
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import type { Found } from "./explore.ts"
import type { Variant } from "./Variant.ts"
import { variants } from "./variants.ts"

interface Row {
  readonly variant: Variant
  readonly found: Found
  readonly millis: number
}

interface Answer {
  readonly index: number
  readonly found: Found
  readonly millis: number
}

const lookAt = (index: number): Answer => {
  const began = performance.now()
  const found = variants[index]!.look()
  return { index, found, millis: performance.now() - began }
}

/** Looks at variants in as many threads as there are cores; calls `report` with each as it is found. */
const lookAtAll = async (indexes: ReadonlyArray<number>, report: (row: Row) => void) => {
  const waiting = [...indexes]
  const rows: Array<Row> = []
  const thread = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 3_000 } })
      const next = () => {
        const index = waiting.shift()
        if (index !== undefined) return worker.postMessage(index, [])
        resolve(void worker.terminate())
      }
      worker.on("error", reject)
      worker.on("message", ({ index, ...answer }: Answer) => {
        const row = { variant: variants[index]!, ...answer }
        rows[index] = row
        report(row)
        next()
      })
      next()
    })
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), indexes.length) }, thread))
  return rows.filter(() => true)
}

const resultOf = ({ found }: Row) => (found.violation === undefined ? "holds" : "breaks")

const isAsExpected = (row: Row) => resultOf(row) === row.variant.expected

const print = (text: string) => process.stdout.write(`${text}\n`)

const traceOf = ({ variant, found }: Row) =>
  [
    `\n${variant.part}: ${variant.name}`,
    ...found.trace.map((what, n) => `${String(n + 1).padStart(4)}. ${what}`),
    `      ${found.violation}`,
  ].join("\n")

const tableOf = (rows: ReadonlyArray<Row>) =>
  [
    "\n| part | variant | expected | found | states | ms |",
    "|---|---|---|---|--:|--:|",
    ...rows.map((row) => {
      const { variant, found, millis } = row
      const said = `${resultOf(row)}${isAsExpected(row) ? "" : " ✗"}`
      return `| ${variant.part} | ${variant.name} | ${variant.expected} | ${said} | ${found.states} | ${millis.toFixed(0)} |`
    }),
  ].join("\n")

const main = async () => {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, only: { type: "string" } } })
  const isMeant = ({ isQuick, part, name }: Variant) =>
    (isQuick || !values.quick) && `${part}: ${name}`.includes(values.only ?? "")
  // The longest begin, so that none runs on alone in the end.
  const meant = variants.map((_, index) => index).filter((index) => isMeant(variants[index]!))
  const order = meant.sort((a, b) => Number(variants[a]!.isQuick) - Number(variants[b]!.isQuick))
  const rows = await lookAtAll(order, (row) => {
    if (row.found.violation !== undefined) print(traceOf(row))
  })
  print(tableOf(rows))
  const wrong = rows.filter((row) => !isAsExpected(row))
  print(`\n${rows.length} variants, ${wrong.length} not as expected`)
  process.exitCode = wrong.length === 0 && rows.length > 0 ? 0 : 1
}

if (isMainThread) await main()
else parentPort!.on("message", (index: number) => parentPort!.postMessage(lookAt(index), []))
