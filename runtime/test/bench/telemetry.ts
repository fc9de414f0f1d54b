import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Case, Finding } from "./Case.ts"
import { load, type Load } from "./load.ts"
import { signUp } from "./orders.ts"
import { startServer } from "./server.ts"
import { median, spread } from "./statistics.ts"

const connections = 16
const rounds = 8
const millis = { warmUp: 4_000, round: 3_000 }

/** A collector in a process of its own, which says how many spans it was sent. */
const startCollector = async () => {
  const program = fileURLToPath(new URL("collectorProcess.ts", import.meta.url))
  const child = fork(program, { env: { PATH: process.env["PATH"] }, execArgv: [] })
  const ended = once(child, "exit")
  const [{ port }] = (await once(child, "message")) as [{ port: number }]
  return {
    endpoint: `http://127.0.0.1:${port}`,
    spans: async (): Promise<number> => {
      const answer = once(child, "message") as Promise<[{ spans: number }]>
      child.send("spans")
      return (await answer)[0].spans
    },
    [Symbol.asyncDispose]: async () => {
      child.disconnect()
      await ended
    },
  }
}

const perSecond = ({ accepted, millis }: Load) => (accepted * 1_000) / millis

/** What traces and metrics cost: the same orders on two servers in turn, of which one exports. */
export const telemetry: Case = {
  name: "telemetry",
  run: async ({ say, profiles }) => {
    say("starting a collector, and Galleria with it and without")
    await using collector = await startCollector()
    const modules = ["user", "order"]
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint }
    await using on = await startServer({ modules, profiles, env })
    await using off = await startServer({ modules })
    const users = { on: await signUp(on.port, connections), off: await signUp(off.port, connections) }
    const servers = { on, off }
    const run = (which: "on" | "off", lasting: number) => load(servers[which], users[which], "amount", lasting)

    say("warming up")
    for (const which of ["on", "off"] as const) await run(which, millis.warmUp)
    const before = await collector.spans()
    const found: Record<"on" | "off", Array<Load>> = { on: [], off: [] }
    for (let n = 1; n <= rounds; n++) {
      // Who begins changes, for the machine gets slower and faster.
      for (const which of n % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const)) {
        found[which].push(await run(which, millis.round))
      }
      say(
        `round ${n} of ${rounds}: ${perSecond(found.on.at(-1)!).toFixed(0)}/s, off ${perSecond(found.off.at(-1)!).toFixed(0)}/s`,
      )
    }
    const spans = (await collector.spans()) - before
    if (spans === 0) throw new Error("nothing was exported")
    const orders = found.on.reduce((sum, { accepted }) => sum + accepted, 0)
    return [rateOf(found, spans / orders), cpuOf(found)]
  },
}

type Found = Readonly<Record<"on" | "off", ReadonlyArray<Load>>>

const rateOf = (found: Found, spansPerOrder: number): Finding => {
  const ratios = found.on.map((load, n) => perSecond(load) / perSecond(found.off[n]!))
  return {
    name: `POST /orders with OTLP, ${connections} connections`,
    unit: "/s",
    value: median(found.on.map(perSecond)),
    baseline: { what: "without", value: median(found.off.map(perSecond)) },
    ratio: median(ratios),
    bar: { of: "ratio", least: 0.8 },
    how: `medians of ${rounds} rounds of ${millis.round / 1_000} s each on two servers in turn, the collector in another process; ratios ${spread(
      ratios,
      2,
    )}; ${spansPerOrder.toFixed(1)} spans left for each order`,
  }
}

const cpuOf = (found: Found): Finding => ({
  name: "CPU of the server for an order with OTLP, all it causes included",
  unit: "µs",
  value: median(found.on.map(({ serverCpuMicros }) => serverCpuMicros)),
  baseline: { what: "without", value: median(found.off.map(({ serverCpuMicros }) => serverCpuMicros)) },
  ratio: median(found.on.map(({ serverCpuMicros }, n) => serverCpuMicros / found.off[n]!.serverCpuMicros)),
  how: "user and system time by the operating system, in the same rounds",
})
