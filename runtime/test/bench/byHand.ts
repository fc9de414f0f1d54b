import type { Case, Context, Finding } from "./Case.ts"
import { type Child, startChild } from "./child.ts"
import { type Connection, connect, expect, request } from "./connection.ts"
import { descendantsMillis } from "./descendants.ts"
import { load } from "./load.ts"
import { once, orderOf } from "./orders.ts"
import { startProduction } from "./production.ts"
import type { Server } from "./server.ts"
import { median, quantile, spread } from "./statistics.ts"
import { setTimeout as sleep } from "node:timers/promises"

type Crowd = 16 | 64
const rounds = 3
const millis = { first: 5_000, warmUp: 10_000, orders: 10_000, users: 4_000, reads: 4_000 }

/** Two services over Kafka, a PostgreSQL each: Galleria's modules, or the peer's. */
interface Subject {
  readonly name: "Galleria" | "by hand"
  readonly order: Server | Child
  readonly user: Server | Child
}

/** What is measured of a subject in one round. */
interface Turn {
  readonly posted: number
  /** Orders a second that were accepted and are visible in the other process: until the last one was. */
  readonly visible: number
  readonly behindMillis: number
  readonly users: number
  readonly reads: number
  /** CPU time of all processes for an order, in µs: services, PostgreSQL and Kafka, until the last order was visible. */
  readonly cpuMicros: number
  readonly latencies: ReadonlyArray<number>
}

type Round = Readonly<Record<Subject["name"], Turn>>

/**
 * Galleria's `user` and `order` against two services that do the same by hand (`peer/`), by turns, `fsync` on. Galleria
 * promises more: idempotency keys, order of a key with dead letters, a history, telemetry, and an order that is placed
 * right after its user.
 */
export const byHand: Case = {
  name: "by-hand",
  run: async (context) => {
    context.say("starting Kafka, two PostgreSQL, Galleria and the peer")
    await using production = await startProduction({ profiles: context.profiles, durable: true })
    const peer = async (module: string) =>
      startChild(
        `peer/${module}Process.ts`,
        await (await production.placeOf(module)).create("peer"),
        production.bootstrap,
      )
    await using order = await production.start("order")
    await using user = await production.start("user")
    await using peerUser = await peer("user")
    await using peerOrder = await peer("order")
    const subjects: ReadonlyArray<Subject> = [
      { name: "Galleria", order, user },
      { name: "by hand", order: peerOrder, user: peerUser },
    ]
    const first: Partial<Record<Subject["name"], number>> = {}
    for (const subject of subjects) first[subject.name] = await firstRate(subject)
    const [few, many] = [await compare(subjects, 16, context), await compare(subjects, 64, context)]
    return [...findingsOf(16, few), ...findingsOf(64, many), beginningOf(first as Required<typeof first>, few)]
  },
}

/** Orders accepted a second in the first seconds after the start, on 16 connections. */
const firstRate = async (subject: Subject) => {
  const { accepted, millis: lasted } = await load(
    subject.order,
    await signUp(subject, 16),
    "amount",
    millis.first,
    subject.user,
  )
  return (accepted * 1_000) / lasted
}

const compare = async (subjects: ReadonlyArray<Subject>, crowd: Crowd, { say }: Context) => {
  const users = new Map<Subject, ReadonlyArray<number>>()
  for (const subject of subjects) {
    users.set(subject, await signUp(subject, crowd))
    await load(subject.order, users.get(subject)!, "amount", millis.warmUp, subject.user)
    await ratesOf(subject, users.get(subject)!, millis.users)
  }
  const found: Array<Round> = []
  for (let n = 1; n <= rounds; n++) {
    const turns: Partial<Record<Subject["name"], Turn>> = {}
    for (const subject of n % 2 === 0 ? subjects.toReversed() : subjects) {
      const turn = await take(subject, users.get(subject)!)
      turns[subject.name] = turn
      const numbers = [turn.posted, turn.visible, turn.users, turn.reads].map((value) => value.toFixed(0)).join(", ")
      say(
        `${crowd} connections, round ${n} of ${rounds}, ${subject.name}: ${numbers} orders, visible, users, reads a second; behind by ${turn.behindMillis.toFixed(0)} ms; ${turn.cpuMicros.toFixed(0)} µs of CPU an order`,
      )
    }
    found.push(turns as Round)
  }
  return found
}

/** Users whose orders are accepted: with the peer an order right after its user is not. */
const signUp = async ({ user, order }: Subject, count: number) => {
  const users: Array<number> = []
  for (let n = 0; n < count; n++) users.push((await once(user.port, 201, newUser())).id)
  for (const id of users) {
    using link = await connect(order.port)
    while ((await link.send(request("POST", "/orders", orderOf("amount", id)))).status !== 201) await sleep(20)
    while ((await once(user.port, 200, request("GET", `/users/${id}/order-summary`))).orders_count < 1) await sleep(20)
  }
  return users
}

const newUser = () => request("POST", "/users", { email: `${crypto.randomUUID()}@example.org`, name: "Ada" })

const take = async (subject: Subject, users: ReadonlyArray<number>): Promise<Turn> => {
  const before = descendantsMillis(process.pid)
  const done = await load(subject.order, users, "amount", millis.orders, subject.user)
  const cpu = descendantsMillis(process.pid) - before
  return {
    posted: (done.accepted * 1_000) / done.millis,
    visible: (done.accepted * 1_000) / (done.millis + done.drainMillis),
    behindMillis: done.drainMillis,
    cpuMicros: (cpu * 1_000) / done.accepted,
    latencies: done.latencies,
    ...(await ratesOf(subject, users, millis.users)),
  }
}

/** Users and reads of an order, each as fast as it goes. */
const ratesOf = async ({ user, order }: Subject, users: ReadonlyArray<number>, lasting: number) => {
  const { id } = await once(order.port, 201, request("POST", "/orders", orderOf("amount", users[0]!)))
  const read = request("GET", `/orders/${id}`)
  const reads = await rate(order.port, users.length, lasting, (link) => expect(link, 200, read))
  const signedUp = await rate(user.port, users.length, lasting, (link) => expect(link, 201, newUser()))
  // What the users caused is done before the next measurement starts.
  await sleep(1_500)
  return { reads, users: signedUp }
}

/** How often a second, on so many connections. */
const rate = async (port: number, crowd: number, lasting: number, ask: (link: Connection) => Promise<unknown>) => {
  using stack = new DisposableStack()
  const links = await Promise.all(Array.from({ length: crowd }, async () => stack.use(await connect(port))))
  const from = performance.now()
  let answered = 0
  const asking = async (link: Connection) => {
    for (; performance.now() - from < lasting; answered++) await ask(link)
  }
  await Promise.all(links.map(asking))
  return (answered * 1_000) / (performance.now() - from)
}

const measures = [
  { name: "orders accepted and visible in the other process", of: "visible", least: 1.3 },
  { name: "POST /orders, whole path running", of: "posted", least: 1 },
  { name: "POST /users", of: "users", least: 0.8 },
  { name: "GET /orders/{id}", of: "reads", least: 0.6 },
] as const

const beginningOf = (first: Readonly<Record<Subject["name"], number>>, found: ReadonlyArray<Round>): Finding => {
  const steady = (name: Subject["name"]) => median(found.map((round) => round[name].posted))
  const byHandRatio = first["by hand"] / steady("by hand")
  return {
    name: `POST /orders in the first ${millis.first / 1_000} s after a start, 16 connections`,
    unit: "/s",
    value: first.Galleria,
    baseline: { what: "warm", value: steady("Galleria") },
    bar: { of: "ratio", least: 0.8 },
    how: `once after the start, after one order of each user; warm: median of ${rounds} rounds; by hand ${first["by hand"].toFixed(0)}/s, ${byHandRatio.toFixed(2)} of its warm rate`,
  }
}

/** At 64 connections the bars are as much higher. */
const factor = { 16: 1, 64: 1.4 } as const

const findingsOf = (crowd: Crowd, found: ReadonlyArray<Round>): ReadonlyArray<Finding> => {
  const of = (name: Subject["name"], part: Exclude<keyof Turn, "latencies">) =>
    median(found.map((round) => round[name][part]))
  const ratios = (part: Exclude<keyof Turn, "latencies">) =>
    found.map((round) => round["Galleria"][part] / round["by hand"][part])
  const compared = (part: Exclude<keyof Turn, "latencies">) => ({
    value: of("Galleria", part),
    baseline: { what: "by hand", value: of("by hand", part) },
    ratio: median(ratios(part)),
  })
  const late = (name: Subject["name"]) =>
    quantile(
      found.flatMap((round) => round[name].latencies),
      0.99,
    ).toFixed(0)
  const how = (part: Exclude<keyof Turn, "latencies">) =>
    `medians of ${rounds} rounds by turns, ${millis.orders / 1_000} s of orders and ${millis.users / 1_000} s of each other, fsync on; ratios ${spread(ratios(part), 2)}`
  return [
    ...measures.map(({ name, of: part, least }): Finding => ({
      name: `${name}, ${crowd} connections`,
      unit: "/s",
      ...compared(part),
      bar: { of: "ratio", least: Number((least * factor[crowd]).toFixed(2)) },
      how: `${how(part)}${part === "visible" ? `; the last order was visible ${of("Galleria", "behindMillis").toFixed(0)} ms after its answer, by hand ${of("by hand", "behindMillis").toFixed(0)} ms` : ""}${part === "posted" ? `; p99 of an answer ${late("Galleria")} ms, by hand ${late("by hand")} ms` : ""}`,
    })),
    {
      name: `CPU of all processes for an order, ${crowd} connections`,
      unit: "µs",
      ...compared("cpuMicros"),
      bar: { of: "ratio", most: Number((1 / factor[crowd]).toFixed(2)) },
      how: `services, PostgreSQL and Kafka, until the last order was visible; ${how("cpuMicros")}`,
    },
  ]
}
