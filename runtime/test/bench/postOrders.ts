import { setTimeout as sleep } from "node:timers/promises"
import { startBarePGlite } from "./barePGlite.ts"
import type { Case, Finding } from "./Case.ts"
import { load, type Load } from "./load.ts"
import { type Shape, signUp } from "./orders.ts"
import { startServer } from "./server.ts"
import { median, quantile, spread } from "./statistics.ts"

const connections = 16
const rounds = 5
const millis = { warmUp: 10_000, http: 3_000, bare: 1_500 }

/** One round: the bare statement, then the same through HTTP. */
interface Round {
  readonly bare: number
  readonly bareCpuMicros: number
  readonly http: number
  readonly ratio: number
  readonly load: Load
}

const placing: Record<Shape, string> = {
  amount: "POST /orders {user_id, amount}",
  items: "POST /orders {user_id, items: 2}",
}

/** `POST /orders` as fast as it goes, against the statement alone. */
export const postOrders: Case = {
  name: "post-orders",
  run: async ({ say, profiles }) => {
    say("starting Galleria and bare PGlite")
    await using bare = await startBarePGlite()
    await using server = await startServer({ modules: ["user", "order"], profiles })
    const users = await signUp(server.port, connections)

    const round = async (shape: Shape): Promise<Round> => {
      const alone = await bare.place({ shape, millis: millis.bare })
      const done = await load(server, users, shape, millis.http)
      // What the last orders caused is done before the next measurement starts.
      await sleep(200)
      const perSecond = { bare: (alone.orders * 1_000) / alone.millis, http: (done.accepted * 1_000) / done.millis }
      return {
        ...perSecond,
        bareCpuMicros: (alone.cpuMillis * 1_000) / alone.orders,
        ratio: perSecond.http / perSecond.bare,
        load: done,
      }
    }

    const found: Record<Shape, Array<Round>> = { amount: [], items: [] }
    say("warming up")
    for (const shape of ["amount", "items"] as const) {
      await bare.place({ shape, millis: millis.bare })
      await load(server, users, shape, millis.warmUp)
    }
    for (let n = 1; n <= rounds; n++) {
      for (const shape of ["amount", "items"] as const) {
        const done = await round(shape)
        found[shape].push(done)
        say(`round ${n} of ${rounds}, ${shape}: ${done.http.toFixed(0)}/s, bare ${done.bare.toFixed(0)}/s`)
      }
    }
    return [
      { ...rateOf("amount", found.amount), bar: { of: "ratio", least: 0.5 } },
      rateOf("items", found.items),
      visibleOf(found.amount),
      cpuOf(found.amount),
    ]
  },
}

const rateOf = (shape: Shape, found: ReadonlyArray<Round>): Finding => {
  const latencies = found.flatMap(({ load }) => load.latencies)
  return {
    name: `${placing[shape]}, ${connections} connections`,
    unit: "/s",
    value: median(found.map(({ http }) => http)),
    baseline: { what: "bare statement", value: median(found.map(({ bare }) => bare)) },
    ratio: median(found.map(({ ratio }) => ratio)),
    how: `medians of ${found.length} rounds, ${millis.bare / 1_000} s of the bare statement, then ${millis.http / 1_000} s of HTTP; ratios ${spread(
      found.map(({ ratio }) => ratio),
      2,
    )}; an answer took p50 ${quantile(latencies, 0.5).toFixed(1)}, p99 ${quantile(latencies, 0.99).toFixed(1)} ms`,
  }
}

const visibleOf = (found: ReadonlyArray<Round>): Finding => {
  const ratios = found.map(({ load }) => load.millis / (load.millis + load.drainMillis))
  const atEnd = found.map(({ load }) => (load.visible * 100) / load.accepted)
  return {
    name: "visible in the projection at that rate",
    unit: "/s",
    value: median(found.map(({ http }, n) => http * ratios[n]!)),
    baseline: { what: "accepted", value: median(found.map(({ http }) => http)) },
    ratio: median(ratios),
    bar: { of: "ratio", least: 0.98 },
    how: `accepted ÷ the time until the summaries of all ${connections} users counted them; at the last 201 ${median(atEnd).toFixed(2)} % were visible, the rest ${median(
      found.map(({ load }) => load.drainMillis),
    ).toFixed(0)} ms later (to ask all users takes some of that)`,
  }
}

const cpuOf = (found: ReadonlyArray<Round>): Finding => ({
  name: "CPU of the server for an order, all it causes included",
  unit: "µs",
  value: median(found.map(({ load }) => load.serverCpuMicros)),
  baseline: { what: "bare statement", value: median(found.map(({ bareCpuMicros }) => bareCpuMicros)) },
  how: `user and system time by the operating system; the load generator used ${median(
    found.map(({ load }) => load.loadCpuMicros),
  ).toFixed(0)} µs an order, in another process`,
})
