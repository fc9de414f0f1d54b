import kafkajs from "kafkajs"
import pg from "pg"
import type { Case, Context, Finding } from "./Case.ts"
import { load, type Load } from "./load.ts"
import { signUp } from "./orders.ts"
import { bareKafka, dataOf } from "./overKafka.ts"
import { visibility } from "./postToVisible.ts"
import { startProduction } from "./production.ts"
import { options } from "./pgbench.ts"
import { prepareOrders, type Statement } from "./statement.ts"
import { median, quantile, spread } from "./statistics.ts"

const connections = 16
const rounds = 3
const millis = { warmUp: 10_000, measured: 60_000 }

/** The order module and the user module as two processes over Kafka, a PostgreSQL each: few orders, and as many as go. */
export const visibleElsewhere: Case = {
  name: "visible-elsewhere",
  run: async (context) => {
    context.say("starting Kafka, two PostgreSQL and two Galleria")
    await using production = await startProduction(context)
    const bareUrl = await (await production.placeOf("order")).create("bare")
    const statement = await prepareOrders(bareUrl)
    await using order = await production.start("order")
    await using user = await production.start("user")
    await using once = await statementAt(bareUrl, statement)
    await using through = await tripThrough(production.bootstrap)
    const trips = { "bare statement": once.take, "through Kafka": through.take }
    const subject = { name: "POST → visible in the other process", trips, bar: 18 }
    const found = await visibility({ ...subject, orderPort: order.port, userPort: user.port }, context)
    return [...found, ...(await underLoad(order, user, context))]
  },
}

type Trip = AsyncDisposable & { readonly take: () => Promise<number> }

/** Places one order by its statement, prepared, and says how long it took. */
const statementAt = async (connectionString: string, { text, values }: Statement): Promise<Trip> => {
  const client = new pg.Client({ connectionString, options })
  await client.connect()
  const place = async () => {
    const from = performance.now()
    await client.query({ name: "order", text, values: [...values] })
    return performance.now() - from
  }
  let last: Promise<unknown> = Promise.resolve()
  return {
    // One at a time: orders that are late would meet.
    take: () => {
      const placed = last.then(place)
      last = placed
      return placed
    },
    [Symbol.asyncDispose]: () => client.end(),
  }
}

/** Sends a record to Kafka, and says how long it took until it was handed to a consumer. */
const tripThrough = async (bootstrap: string): Promise<Trip> => {
  const topic = "bare_round_trip"
  const kafka = bareKafka(bootstrap)
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  await admin.disconnect()
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  const consumer = kafka.consumer({ groupId: topic })
  const arrivals = new Map<string, (at: number) => void>()
  await producer.connect()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => arrivals.get(message.key!.toString())?.(performance.now()),
  })
  let sent = 0
  return {
    take: async () => {
      const key = String(sent++)
      const { promise, resolve } = Promise.withResolvers<number>()
      arrivals.set(key, resolve)
      const from = performance.now()
      await producer.send({ topic, acks: -1, messages: [{ key, value: dataOf(sent, 1) }] })
      const at = await promise
      arrivals.delete(key)
      return at - from
    },
    [Symbol.asyncDispose]: async () => {
      await consumer.disconnect()
      await producer.disconnect()
    },
  }
}

type Servers = Parameters<typeof load>[0]

const underLoad = async (order: Servers, user: Servers, { say }: Context): Promise<ReadonlyArray<Finding>> => {
  const users = await signUp(user.port, connections, order.port)
  await load(order, users, "amount", millis.warmUp, user)
  const found: Array<Load & { readonly userCpuMicros: number }> = []
  for (let n = 1; n <= rounds; n++) {
    const before = user.cpuMillis() ?? Number.NaN
    const done = await load(order, users, "amount", millis.measured, user)
    const userCpuMicros = (((user.cpuMillis() ?? Number.NaN) - before) * 1_000) / done.accepted
    found.push({ ...done, userCpuMicros })
    say(
      `round ${n} of ${rounds}: ${done.accepted} accepted, ${done.visible} of them visible at the end, all ${done.drainMillis.toFixed(0)} ms later`,
    )
  }
  return findingsOf(found)
}

const findingsOf = (found: ReadonlyArray<Load & { readonly userCpuMicros: number }>): ReadonlyArray<Finding> => {
  const perSecond = median(found.map(({ accepted, millis }) => (accepted * 1_000) / millis))
  const ratios = found.map(({ visible, accepted }) => visible / accepted)
  const latencies = found.flatMap((load) => load.latencies)
  const cpu = (of: (load: (typeof found)[number]) => number) => median(found.map(of)).toFixed(0)
  return [
    {
      name: `visible in the other process within ${millis.measured / 1_000} s`,
      unit: "/s",
      value: median(found.map(({ visible, millis }) => (visible * 1_000) / millis)),
      baseline: { what: "accepted", value: perSecond },
      ratio: median(ratios),
      bar: { of: "ratio", least: 0.95 },
      how: `counted by the summaries of all ${connections} users at the last 201; medians of ${rounds} rounds, ratios ${spread(ratios, 3)}; the rest was visible ${median(found.map(({ drainMillis }) => drainMillis)).toFixed(0)} ms later; an answer took p50 ${quantile(latencies, 0.5).toFixed(1)}, p99 ${quantile(latencies, 0.99).toFixed(1)} ms; CPU of the processes for an order: order ${cpu(({ serverCpuMicros }) => serverCpuMicros)} µs, user ${cpu(({ userCpuMicros }) => userCpuMicros)} µs`,
    },
  ]
}
