import { mkdir, writeFile } from "node:fs/promises"
import { cpus, loadavg } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { inspect, parseArgs } from "node:util"
import { atRest } from "./atRest.ts"
import { byHand } from "./byHand.ts"
import type { Case } from "./Case.ts"
import { failingKey } from "./failingKey.ts"
import { fiveModules, postToProcessed } from "./fiveModules.ts"
import { growth } from "./growth.ts"
import { kafkaConsumer } from "./kafkaConsumer.ts"
import { kafkaRelay } from "./kafkaRelay.ts"
import { moduleAtRest } from "./moduleAtRest.ts"
import { ordersOnPostgres } from "./ordersOnPostgres.ts"
import { postOrders } from "./postOrders.ts"
import { postToVisible } from "./postToVisible.ts"
import { relayBacklog } from "./relayBacklog.ts"
import { judge, type Line, tableOf } from "./report.ts"
import { telemetry } from "./telemetry.ts"
import { validatedPost } from "./validatedPost.ts"
import { visibleElsewhere } from "./visibleElsewhere.ts"

/** A case more is a file more, and its name here. */
const cases: ReadonlyArray<Case> = [
  validatedPost,
  postOrders,
  postToVisible,
  failingKey,
  growth,
  atRest,
  telemetry,
  kafkaRelay,
  kafkaConsumer,
  ordersOnPostgres,
  visibleElsewhere,
  byHand,
  relayBacklog,
  moduleAtRest,
  fiveModules,
  postToProcessed,
]

const cache = fileURLToPath(new URL("../../../.cache", import.meta.url))
const options = { "cpu-prof": { type: "boolean", default: false } } as const
const { values, positionals } = parseArgs({ options, allowPositionals: true })
const unknown = positionals.filter((name) => cases.every((one) => one.name !== name))
if (unknown.length > 0) {
  process.stderr.write(
    `There is no case ${unknown.join(", ")}; there are ${cases.map(({ name }) => name).join(", ")}\n`,
  )
  process.exit(1)
}

const say = (line: string) => void process.stderr.write(`${line}\n`)
const load = () => loadavg().map((average) => Number(average.toFixed(2)))

const before = load()
const lines: Array<Line & { readonly case: string }> = []
const failed: Array<{ readonly case: string; readonly error: string }> = []
for (const { name, run } of cases) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  try {
    const found = await run({
      say: (line) => say(`${name}: ${line}`),
      profiles: values["cpu-prof"] ? cache : undefined,
    })
    lines.push(...found.map((finding) => ({ case: name, ...judge(finding) })))
  } catch (error) {
    failed.push({ case: name, error: inspect(error) })
  }
}

const [cpu] = cpus()
const machine = {
  cpu: cpu?.model ?? "unknown",
  cores: cpus().length,
  node: process.version,
  loadBefore: before,
  loadAfter: load(),
}
await mkdir(cache, { recursive: true })
await writeFile(
  join(cache, "bench.json"),
  `${JSON.stringify({ at: new Date().toISOString(), machine, lines, failed }, undefined, 2)}\n`,
)
process.stdout.write(`
${machine.cpu}, ${machine.cores} cores · Node ${machine.node} · load average ${machine.loadBefore.join(" ")} before, ${machine.loadAfter.join(" ")} after (the load of the bench itself is in it)

${tableOf(lines)}
`)
for (const { case: name, error } of failed) process.stderr.write(`\n${name} could not be run: ${error}\n`)
process.exitCode = failed.length > 0 ? 1 : 0
