import { setTimeout as sleep } from "node:timers/promises"
import type { Case, Context, Finding } from "./Case.ts"
import { startChild } from "./child.ts"
import { type Connection, connect, request } from "./connection.ts"
import { orderOf } from "./orders.ts"
import { run } from "./postgres.ts"
import { type Production, startProduction } from "./production.ts"
import { residentMegabytes, type Server } from "./server.ts"
import { knownUsers } from "./statement.ts"
import { median, spread } from "./statistics.ts"

const rounds = 5
/** Until what a start or a load leaves behind is collected. */
const restMillis = 5_000
/** How long a module at rest is watched. */
const idleMillis = 10_000

const requests = { few: 100_000, many: 1_000_000 }
const connections = 16
/** One request of so many places an order, the others read it. */
const ordersPer = 10

interface Start {
  readonly millis: number
  readonly megabytes: number
}
interface Round {
  readonly galleria: Start & {
    /** CPU of the process at rest, in percent of a core. */
    readonly idle: number
  }
  readonly effect: Start
  readonly bare: Start
}

/** One module of production by itself: how long it takes to start, and what memory it holds at rest and after work. */
export const moduleAtRest: Case = {
  name: "module-at-rest",
  run: async (context) => {
    context.say("starting Kafka and PostgreSQL")
    await using production = await startProduction({})
    // The first start makes its tables and its topics.
    await (await production.start("order"))[Symbol.asyncDispose]()
    const starts = await measureStarts(production, context)
    return [...startsOf(starts), memoryOf(await measureMemory(production, context))]
  },
}

const atRest = async (server: { readonly pid: number; readonly startMillis: number }): Promise<Start> => {
  await sleep(restMillis)
  return { millis: server.startMillis, megabytes: megabytesOf(server) }
}

const megabytesOf = ({ pid }: { readonly pid: number }) => residentMegabytes(pid) ?? Number.NaN

const measureStarts = async (production: Production, { say }: Context) => {
  const child = async (program: string) => {
    await using server = await startChild(program)
    return await atRest(server)
  }
  const module = async () => {
    await using server = await production.start("order")
    const start = await atRest(server)
    const used = () => server.cpuMillis() ?? Number.NaN
    const before = used()
    await sleep(idleMillis)
    return { ...start, idle: ((used() - before) * 100) / idleMillis }
  }
  const found: Array<Round> = []
  for (let n = 1; n <= rounds; n++) {
    const round = {
      bare: await child("bareHttpProcess.ts"),
      effect: await child("helloProcess.ts"),
      galleria: await module(),
    }
    const shown = ({ millis, megabytes }: Start) => `${millis.toFixed(0)} ms and ${megabytes.toFixed(0)} MB`
    say(
      `start ${n} of ${rounds}: ${shown(round.galleria)}, then ${round.galleria.idle.toFixed(1)} % of a core, hello of Effect ${shown(round.effect)}, node:http ${shown(round.bare)}`,
    )
    found.push(round)
  }
  return found
}

const startsOf = (found: ReadonlyArray<Round>): ReadonlyArray<Finding> => {
  const more = found.map(({ galleria, bare }) => galleria.millis - bare.millis)
  const ratios = found.map(({ galleria, effect }) => galleria.megabytes / effect.megabytes)
  const at = (of: (round: Round) => number) => median(found.map(of))
  return [
    {
      name: "start of one module, more than node:http takes",
      unit: "ms",
      value: median(more),
      bar: { of: "value", most: 1_000 },
      how: `from spawning the order module to /readyz 200, its consumer in its group, ${at(({ galleria }) => galleria.millis).toFixed(0)} ms, on a PostgreSQL and a Kafka that it knows, without what a process takes that listens with node:http alone, ${at(({ bare }) => bare.millis).toFixed(0)} ms; a hello server of Effect takes ${at(({ effect }) => effect.millis).toFixed(0)} ms; medians of ${rounds} rounds, ${spread(more, 0)} ms`,
    },
    {
      name: "memory of one module at rest",
      unit: "MB",
      value: at(({ galleria }) => galleria.megabytes),
      baseline: { what: "hello server of Effect", value: at(({ effect }) => effect.megabytes) },
      ratio: median(ratios),
      bar: { of: "value", most: 130 },
      how: `resident, ${restMillis / 1_000} s after the start; medians of ${rounds} rounds; ratios ${spread(ratios, 2)}; node:http alone has ${at(({ bare }) => bare.megabytes).toFixed(0)} MB`,
    },
    {
      name: "CPU of one module at rest",
      unit: "%",
      value: at(({ galleria }) => galleria.idle),
      bar: { of: "value", most: 1 },
      how: `of a core, of the process, for ${idleMillis / 1_000} s; medians of ${rounds} rounds`,
    },
  ]
}

interface Memory {
  readonly few: number
  readonly many: number
}

const measureMemory = async (production: Production, { say }: Context): Promise<Memory> => {
  await using server = await production.start("order")
  const url = await production.urlOf("order")
  await run(url, `insert into "order".users_cache select generate_series(1, ${knownUsers}) on conflict do nothing`)
  let left = 0
  const ask = async (link: Connection, user: number) => {
    const order = request("POST", "/orders", orderOf("amount", user))
    let placed: Buffer | undefined
    while (left > 0) {
      const n = left--
      if (placed === undefined || n % ordersPer === 0) {
        const answer = await link.send(order)
        if (answer.status !== 201) throw new Error(`an order was answered ${answer.status}: ${answer.body}`)
        placed = request("GET", `/orders/${JSON.parse(answer.body).id}`)
      } else {
        const answer = await link.send(placed)
        if (answer.status !== 200) throw new Error(`an order was looked at and answered ${answer.status}`)
      }
    }
  }
  const work = async (count: number) => {
    using stack = new DisposableStack()
    const links = await Promise.all(
      Array.from({ length: connections }, async () => stack.use(await connect(server.port))),
    )
    left = count
    await Promise.all(links.map((link, n) => ask(link, n + 1)))
  }
  const settled = async (server: Server) => {
    for (;;) {
      const rows = await run(url, `select 1 from "order".outbox limit 1`)
      if (rows.length === 0) break
      await sleep(100)
    }
    await sleep(restMillis)
    return megabytesOf(server)
  }
  say(`${requests.few} requests`)
  await work(requests.few)
  const few = await settled(server)
  say(`${few.toFixed(0)} MB; ${requests.many - requests.few} requests more`)
  await work(requests.many - requests.few)
  return { few, many: await settled(server) }
}

const memoryOf = ({ few, many }: Memory): Finding => ({
  name: `memory of one module after ${requests.many} requests`,
  unit: "MB",
  value: many,
  baseline: { what: `after ${requests.few}`, value: few },
  bar: { of: "value", most: 250 },
  how: `resident, ${restMillis / 1_000} s after the last was answered and relayed, of one process; one request of ${ordersPer} places an order, the others read one, on ${connections} connections`,
})
