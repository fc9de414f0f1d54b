import { setTimeout as sleep } from "node:timers/promises"
import type { Case, Context, Finding } from "./Case.ts"
import { type Child, startChild } from "./child.ts"
import { type Placed, place } from "./load.ts"
import { repeaterOf } from "./pgbench.ts"
import { run } from "./postgres.ts"
import { startProduction } from "./production.ts"
import type { Server } from "./server.ts"
import { knownUsers, prepareOrders } from "./statement.ts"
import { median, quantile, spread } from "./statistics.ts"

const rounds = 5
const millis = { warmUp: 3_000, measured: 3_000 }
const crowds = [16, 64] as const
type Crowd = (typeof crowds)[number]

interface Served extends Placed {
  readonly perSecond: number
  /** User and system time of the process for an order and all it causes there, in µs. */
  readonly cpuMicros: number
  /** The same with that of all of PostgreSQL's processes. */
  readonly wholeMicros: number
}

/** What is compared, one after the other, in one round. */
interface Round {
  readonly galleria: Served
  /** The same while Kafka is away: orders are taken, and their events wait in the outbox. */
  readonly alone: Served
  readonly handWritten: Served
  readonly statement: number
}
type Found = Readonly<Record<Crowd, ReadonlyArray<Round>>>

/** `POST /orders` on PostgreSQL with Kafka behind it, against the statement alone and against a handler by hand. */
export const ordersOnPostgres: Case = {
  name: "orders-on-postgres",
  run: async (context) => {
    const { found, by } = await measure(context)
    return [...crowds.flatMap((crowd) => ratesOf(found, crowd, by)), ...crowds.flatMap((crowd) => cpusOf(found, crowd))]
  },
}

const measure = async ({ say, profiles }: Context) => {
  say("starting Kafka, PostgreSQL, Galleria and what it is compared with")
  await using production = await startProduction({ profiles })
  const postgres = await production.placeOf("order")
  const urls = {
    galleria: await production.urlOf("order"),
    alone: await postgres.create("alone"),
    bare: await postgres.create("bare"),
  }
  const statement = await repeaterOf(urls.bare, await prepareOrders(urls.bare))
  const isAway = { KAFKA_BOOTSTRAP_SERVERS: "127.0.0.1:1", ORDER_DATABASE_URL: urls.alone }
  await using galleria = await production.start("order")
  await using alone = await production.start("order", isAway)
  await using handWritten = await startChild("handWrittenProcess.ts", urls.bare, "16")
  const users = Array.from({ length: knownUsers }, (_, n) => n + 1)
  for (const url of [urls.galleria, urls.alone]) {
    await run(url, `insert into "order".users_cache select generate_series(1, ${knownUsers})`)
  }
  /** What the last orders caused is done before the next measurement starts. */
  const isDone = async () => (await run(urls.galleria, `select 1 from "order".outbox limit 1`)).length === 0
  const settle = async () => {
    while (!(await isDone())) await sleep(20)
    for (const url of [urls.alone, urls.bare]) await run(url, `truncate "order".outbox`)
  }

  const serve = async (server: Server | Child, crowd: Crowd, lasting: number): Promise<Served> => {
    const before = { cpu: server.cpuMillis() ?? Number.NaN, postgres: postgres.cpuMillis() }
    const placed = await place(server.port, users.slice(0, crowd), "amount", lasting)
    await settle()
    const cpu = (server.cpuMillis() ?? Number.NaN) - before.cpu
    const whole = cpu + postgres.cpuMillis() - before.postgres
    return {
      ...placed,
      perSecond: (placed.accepted * 1_000) / placed.millis,
      cpuMicros: (cpu * 1_000) / placed.accepted,
      wholeMicros: (whole * 1_000) / placed.accepted,
    }
  }
  const round = async (crowd: Crowd, lasting: number, isTurned: boolean): Promise<Round> => {
    const served: Array<Served> = []
    const servers = [galleria, handWritten, alone]
    // Who goes first takes turns, for the machine gets slower and faster.
    for (const server of isTurned ? servers.toReversed() : servers) served.push(await serve(server, crowd, lasting))
    const [first, second, third] = isTurned ? served.toReversed() : served
    const rate = await statement.rate(crowd, lasting)
    await settle()
    return { galleria: first!, handWritten: second!, alone: third!, statement: rate }
  }

  say("warming up")
  for (const crowd of crowds) await round(crowd, millis.warmUp, false)
  const found: Record<Crowd, Array<Round>> = { 16: [], 64: [] }
  for (let n = 1; n <= rounds; n++) {
    for (const crowd of crowds) {
      const done = await round(crowd, millis.measured, n % 2 === 0)
      found[crowd].push(done)
      const { galleria, alone, handWritten } = done
      const rates = [galleria, alone, handWritten].map(({ perSecond }) => perSecond.toFixed(0)).join(", ")
      const cpus = [galleria, alone, handWritten].map(({ cpuMicros }) => cpuMicros.toFixed(0)).join(", ")
      say(
        `round ${n} of ${rounds}, ${crowd} connections: ${rates} by hand, ${done.statement.toFixed(0)} by ${statement.name}; ${cpus} µs of CPU`,
      )
    }
  }
  return { found: found as Found, by: statement.name }
}

const ratiosOf = (found: ReadonlyArray<Round>, of: (round: Round) => number) => {
  const ratios = found.map(of)
  return { ratio: median(ratios), ratios: spread(ratios, 2) }
}

const bars = {
  16: { statement: 0.6, handWritten: 1.3 },
  64: { statement: 1, handWritten: 1.3 },
} as const

const ratesOf = (all: Found, crowd: Crowd, by: string): ReadonlyArray<Finding> => {
  const found = all[crowd]
  const value = median(found.map(({ galleria }) => galleria.perSecond))
  const name = `POST /orders on PostgreSQL, ${crowd} connections`
  const latencies = found.flatMap(({ galleria }) => galleria.latencies)
  const statement = ratiosOf(found, (round) => round.galleria.perSecond / round.statement)
  const handWritten = ratiosOf(found, (round) => round.galleria.perSecond / round.handWritten.perSecond)
  const alone = ratiosOf(found, (round) => round.alone.perSecond / round.statement)
  const aloneByHand = ratiosOf(found, (round) => round.alone.perSecond / round.handWritten.perSecond)
  const rounded = `medians of ${rounds} rounds of ${millis.measured / 1_000} s each`
  return [
    {
      name,
      unit: "/s",
      value,
      baseline: { what: `same statement by ${by}`, value: median(found.map((round) => round.statement)) },
      ratio: statement.ratio,
      bar: { of: "ratio", least: bars[crowd].statement },
      how: `the order module relaying to Kafka, against its own statement, prepared, on as many connections; ${rounded}, ratios ${statement.ratios}; an answer took p50 ${quantile(latencies, 0.5).toFixed(1)}, p99 ${quantile(latencies, 0.99).toFixed(1)} ms; PostgreSQL does not wait for the disk`,
    },
    {
      name: `${name}, by hand`,
      unit: "/s",
      value,
      baseline: {
        what: "Fastify + pg",
        value: median(found.map((round) => round.handWritten.perSecond)),
      },
      ratio: handWritten.ratio,
      bar: { of: "ratio", least: bars[crowd].handWritten },
      how: `against BEGIN, two prepared INSERTs and COMMIT on a pool of 16, whose events are not relayed; in the same rounds, ratios ${handWritten.ratios}`,
    },
    {
      name: `${name}, while Kafka is away`,
      unit: "/s",
      value: median(found.map((round) => round.alone.perSecond)),
      baseline: { what: `same statement by ${by}`, value: median(found.map((round) => round.statement)) },
      ratio: alone.ratio,
      how: `as the first, but the events stay in the outbox, as those of the handler by hand do; ratios ${alone.ratios}; ${aloneByHand.ratio.toFixed(2)} (${aloneByHand.ratios}) of the handler by hand`,
    },
  ]
}

const cpusOf = (all: Found, crowd: Crowd): ReadonlyArray<Finding> => {
  const found = all[crowd]
  const at = (of: (round: Round) => number) => median(found.map(of))
  const findingOf = (which: "alone" | "galleria", of: "cpuMicros" | "wholeMicros"): Omit<Finding, "name" | "how"> => ({
    unit: "µs",
    value: at((round) => round[which][of]),
    baseline: { what: "Fastify + pg", value: at(({ handWritten }) => handWritten[of]) },
    ratio: at((round) => round[which][of] / round.handWritten[of]),
  })
  const spreadOf = (which: "alone" | "galleria") =>
    ratiosOf(found, (round) => round[which].cpuMicros / round.handWritten.cpuMicros).ratios
  const whole = (which: "alone" | "galleria") => {
    const { value, baseline, ratio } = findingOf(which, "wholeMicros")
    return `with PostgreSQL's processes ${value.toFixed(0)} µs against ${baseline!.value.toFixed(0)} µs, ${ratio!.toFixed(2)}`
  }
  return [
    {
      ...findingOf("alone", "cpuMicros"),
      name: `CPU of the process to take an order, ${crowd} connections`,
      bar: { of: "ratio", most: 1 },
      how: `user and system time by the operating system, while Kafka is away and nothing is relayed, because the events of the hand-written handler are not relayed either; ratios ${spreadOf("alone")}; ${whole("alone")}`,
    },
    {
      ...findingOf("galleria", "cpuMicros"),
      name: `CPU of the process for an order and all it causes there, ${crowd} connections`,
      how: `the same with Kafka: two events are relayed, one of them is read again, and the order is processed; ratios ${spreadOf("galleria")}; ${whole("galleria")}`,
    },
  ]
}
