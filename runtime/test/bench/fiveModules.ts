import { setTimeout as sleep } from "node:timers/promises"
import type { Case, Context, Finding } from "./Case.ts"
import { connect, expect, request } from "./connection.ts"
import { place } from "./load.ts"
import { orderOf, signUp } from "./orders.ts"
import { startProduction } from "./production.ts"
import { startServer } from "./server.ts"
import { quantile } from "./statistics.ts"

const all = ["user", "order", "payment", "inventory", "notification"]
const two = ["user", "order"]
const connections = 16
const millis = { warmUp: 5_000, measured: 60_000 }
const mostDrainMillis = 600_000
const gentle = { perSecond: 10, warmUpSeconds: 15, seconds: 30 }

/** Where each module is served. */
type Ports = Readonly<Record<string, number>>

/** Modules that run and process orders: all five, or the two whose orders need no other step. */
interface Subject extends AsyncDisposable {
  readonly ports: Ports
}

/** The same modules, in one process or in many. */
interface Shape {
  readonly name: string
  /** The bar of what five modules process, as a part of what two do; undefined: none. */
  readonly least?: number
  readonly start: (modules: ReadonlyArray<string>) => Promise<Subject>
}

const stepsOf = (modules: ReadonlyArray<string>) => (modules.length > 2 ? "payment,inventory" : "none")

const inOneProcess = ({ profiles }: Context): Shape => ({
  name: "in one process",
  start: async (modules) => {
    const server = await startServer({ modules, profiles, env: { ORDER_STEPS: stepsOf(modules) } })
    return {
      ports: Object.fromEntries(modules.map((module) => [module, server.port])),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
})

const overKafka = ({ profiles }: Context): Shape => ({
  name: "over Kafka and PostgreSQL",
  least: 0.4,
  start: async (modules) => {
    await using stack = new AsyncDisposableStack()
    const production = stack.use(await startProduction({ profiles, durable: true }))
    const ports: Record<string, number> = {}
    for (const module of modules) {
      ports[module] = stack.use(await production.start(module, { ORDER_STEPS: stepsOf(modules) })).port
    }
    const kept = stack.move()
    return { ports, [Symbol.asyncDispose]: () => kept.disposeAsync() }
  },
})

/** Orders a second until they are `processed`, through two modules and through five, in both shapes. */
export const fiveModules: Case = {
  name: "five-modules",
  run: async (context) => {
    const found: Array<Finding> = []
    for (const shape of [inOneProcess(context), overKafka(context)]) found.push(...(await rates(shape, context)))
    return found
  },
}

/** How long an order takes to be `processed` through five modules, in both shapes, on a machine that is mostly idle. */
export const postToProcessed: Case = {
  name: "post-to-processed",
  run: async (context) => {
    const found: Array<Finding> = []
    for (const shape of [inOneProcess(context), overKafka(context)]) found.push(await delay(shape, context))
    return found
  },
}

/** How many orders the user module has seen processed. */
const processed = async ({ ports }: Subject) => {
  const text = await (await fetch(`http://127.0.0.1:${ports["user"]}/metrics`)).text()
  const line = /^galleria_events_applied_total\{[^}]*reaction="user\.record-processed"[^}]*\} (\d+)/mu.exec(text)
  return Number(line?.[1] ?? 0)
}

const prepare = async ({ ports }: Subject) => {
  if (ports["inventory"] !== undefined) {
    for (const product of ["LAPTOP001", "MOUSE001"]) {
      using link = await connect(ports["inventory"])
      await link.send(request("PUT", `/inventory/${product}`, { product_name: product, stock: 10_000_000 }))
    }
  }
  return await signUp(ports["user"]!, connections, ports["order"])
}

interface Rate {
  readonly accepted: number
  readonly processed: number
}

/** Orders a second, accepted while they were placed, and processed until the last one was. */
const rateOf = async (subject: Subject, users: ReadonlyArray<number>, lasting: number): Promise<Rate> => {
  const before = await processed(subject)
  const began = performance.now()
  const placed = await place(subject.ports["order"]!, users, "items", lasting)
  while ((await processed(subject)) - before < placed.accepted) {
    if (performance.now() - began > lasting + mostDrainMillis) throw new Error("the orders are not processed in time")
    await sleep(100)
  }
  const seconds = (performance.now() - began) / 1_000
  return { accepted: (placed.accepted * 1_000) / placed.millis, processed: placed.accepted / seconds }
}

/** How long after its POST an order is `processed`, in ms, at a rate that leaves the machine idle. */
const delays = async ({ ports }: Subject, users: ReadonlyArray<number>, seconds: number) => {
  const follow = async (user: number) => {
    using link = await connect(ports["order"]!)
    const from = performance.now()
    const { id } = await expect(link, 201, request("POST", "/orders", orderOf("items", user)))
    const order = request("GET", `/orders/${id}`)
    while ((await expect(link, 200, order)).status !== "processed") await sleep(20)
    return performance.now() - from
  }
  const orders: Array<Promise<number>> = []
  for (let n = 0; n < gentle.perSecond * seconds; n++) {
    orders.push(follow(users[n % users.length]!))
    await sleep(1_000 / gentle.perSecond)
  }
  return await Promise.all(orders)
}

const rates = async (shape: Shape, { say }: Context): Promise<ReadonlyArray<Finding>> => {
  const rate = async (modules: ReadonlyArray<string>) => {
    say(`${shape.name}: ${modules.length} modules`)
    await using subject = await shape.start(modules)
    const users = await prepare(subject)
    await rateOf(subject, users, millis.warmUp)
    const found = await rateOf(subject, users, millis.measured)
    say(`${found.accepted.toFixed(0)} accepted, ${found.processed.toFixed(0)} processed a second`)
    return found
  }
  const five = await rate(all)
  const by = await rate(two)
  const how = `${connections} connections for ${millis.measured / 1_000} s; processed: until the last one was`
  return [
    {
      name: `orders processed through five modules, ${shape.name}`,
      unit: "/s",
      value: five.processed,
      baseline: { what: "accepted meanwhile", value: five.accepted },
      how,
    },
    {
      name: `the same, by two modules, ${shape.name}`,
      unit: "/s",
      value: five.processed,
      baseline: { what: "processed by two modules", value: by.processed },
      ...(shape.least === undefined ? {} : { bar: { of: "ratio", least: shape.least } }),
      how: `${how}; the two accepted ${by.accepted.toFixed(0)}/s`,
    },
  ]
}

const delay = async (shape: Shape, { say }: Context): Promise<Finding> => {
  say(`${shape.name}: starting`)
  await using subject = await shape.start(all)
  const users = await prepare(subject)
  await rateOf(subject, users, 3_000)
  await delays(subject, users, gentle.warmUpSeconds)
  const found = await delays(subject, users, gentle.seconds)
  const late = quantile(found, 0.99)
  say(`p99 ${late.toFixed(0)} ms`)
  return {
    name: `POST → processed at ${gentle.perSecond}/s, ${shape.name}`,
    unit: "ms",
    value: late,
    bar: { of: "value", most: 500 },
    how: `p99 of ${found.length} orders, p50 ${quantile(found, 0.5).toFixed(0)} ms; each order is asked for every 20 ms`,
  }
}
