import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Case } from "./Case.ts"
import { connect, expect, request } from "./connection.ts"
import { orderOf } from "./orders.ts"
import { median, spread } from "./statistics.ts"

const connections = 16
const rounds = 5
const millis = { warmUp: 10_000, measured: 2_000 }

const startServer = async (kind: "galleria" | "bare") => {
  const program = fileURLToPath(new URL("validatedPostProcess.ts", import.meta.url))
  const child = fork(program, [kind], { env: { PATH: process.env["PATH"] }, execArgv: [] })
  const [port] = (await once(child, "message")) as [number]
  return { port, [Symbol.dispose]: () => void child.kill("SIGKILL") }
}

/** Orders answered in a second. */
const rateOf = async (port: number, lasting: number) => {
  using stack = new DisposableStack()
  const order = request("POST", "/orders", orderOf("items", 1))
  const links = await Promise.all(Array.from({ length: connections }, async () => stack.use(await connect(port))))
  const from = performance.now()
  let answered = 0
  await Promise.all(
    links.map(async (link) => {
      while (performance.now() - from < lasting) {
        await expect(link, 201, order)
        answered++
      }
    }),
  )
  return (answered * 1_000) / (performance.now() - from)
}

/** What the edge costs: a POST that is routed, validated and answered, while nothing is stored. */
export const validatedPost: Case = {
  name: "validated-post",
  run: async ({ say }) => {
    using galleria = await startServer("galleria")
    using bare = await startServer("bare")
    for (const { port } of [galleria, bare]) await rateOf(port, millis.warmUp)
    const found: Array<{ readonly galleria: number; readonly bare: number }> = []
    for (let n = 1; n <= rounds; n++) {
      const rates = {
        galleria: await rateOf(galleria.port, millis.measured),
        bare: await rateOf(bare.port, millis.measured),
      }
      say(`round ${n} of ${rounds}: ${rates.galleria.toFixed(0)}/s, bare ${rates.bare.toFixed(0)}/s`)
      found.push(rates)
    }
    const ratios = found.map((rates) => rates.galleria / rates.bare)
    return [
      {
        name: "validated POST /orders {user_id, items: 2}, nothing stored",
        unit: "/s",
        value: median(found.map((rates) => rates.galleria)),
        baseline: { what: "bare node:http with JSON.parse", value: median(found.map((rates) => rates.bare)) },
        ratio: median(ratios),
        bar: { of: "ratio", least: 0.4 },
        how: `${connections} connections; medians of ${rounds} rounds of ${millis.measured / 1_000} s; ratios ${spread(ratios, 2)}`,
      },
    ]
  },
}
