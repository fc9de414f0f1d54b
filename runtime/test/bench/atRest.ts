import { rm } from "node:fs/promises"
import { join } from "node:path"
import { fork } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Case } from "./Case.ts"
import { makeDataset } from "./dataset.ts"
import { residentMegabytes, startServer } from "./server.ts"
import { median, spread } from "./statistics.ts"

const rounds = 5
const orders = 10_000
/** Until what a start leaves behind is collected. */
const restMillis = 5_000

interface Start {
  readonly millis: number
  readonly megabytes: number
}

const startBare = async (folder: string): Promise<Start> => {
  const program = fileURLToPath(new URL("openPGlite.ts", import.meta.url))
  const from = performance.now()
  const child = fork(program, [folder], { env: { PATH: process.env["PATH"] }, execArgv: [] })
  await once(child, "message")
  const millis = performance.now() - from
  await sleep(restMillis)
  const megabytes = residentMegabytes(child.pid!) ?? Number.NaN
  const ended = once(child, "exit")
  child.disconnect()
  await ended
  return { millis, megabytes }
}

const startGalleria = async (dataDir: string): Promise<Start> => {
  await using server = await startServer({ modules: ["user", "order"], dataDir })
  await sleep(restMillis)
  return { millis: server.startMillis, megabytes: residentMegabytes(server.pid) ?? Number.NaN }
}

/** What Galleria adds to PGlite before the first request: time to start on existing data, and memory. */
export const atRest: Case = {
  name: "at-rest",
  run: async ({ say }) => {
    say(`making ${orders} orders`)
    const dataDir = await makeDataset(orders)
    try {
      const found: Array<{ readonly galleria: Start; readonly bare: Start }> = []
      for (let n = 1; n <= rounds; n++) {
        const round = { bare: await startBare(join(dataDir, "postgres")), galleria: await startGalleria(dataDir) }
        say(`round ${n} of ${rounds}: ${round.galleria.millis.toFixed(0)} ms, bare ${round.bare.millis.toFixed(0)} ms`)
        found.push(round)
      }
      const more = found.map(({ galleria, bare }) => galleria.millis - bare.millis)
      const ratios = found.map(({ galleria, bare }) => galleria.megabytes / bare.megabytes)
      return [
        {
          name: "start on existing data, more than bare PGlite takes",
          unit: "ms",
          value: median(more),
          bar: { of: "value", most: 1_000 },
          how: `from spawning the process to /readyz 200, ${median(found.map(({ galleria }) => galleria.millis)).toFixed(0)} ms, without what a process takes that only opens PGlite on the same folder, ${median(found.map(({ bare }) => bare.millis)).toFixed(0)} ms; medians of ${rounds} rounds, ${spread(more, 0)} ms`,
        },
        {
          name: "memory at rest",
          unit: "MB",
          value: median(found.map(({ galleria }) => galleria.megabytes)),
          baseline: { what: "bare PGlite", value: median(found.map(({ bare }) => bare.megabytes)) },
          ratio: median(ratios),
          bar: { of: "ratio", most: 1.5 },
          how: `resident, ${restMillis / 1_000} s after the start; medians of ${rounds} rounds; ratios ${spread(ratios, 2)}`,
        },
      ]
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  },
}
