import { setTimeout as sleep } from "node:timers/promises"
import { startBarePGlite } from "./barePGlite.ts"
import type { Case, Context, Finding } from "./Case.ts"
import { type Connection, connect, expect, request } from "./connection.ts"
import { orderOf, signUp } from "./orders.ts"
import { startServer } from "./server.ts"
import { median, quantile } from "./statistics.ts"

const users = 20
const perSecond = 20
const seconds = { warmUp: 5, measured: 15 }

/** When the bare round trips are taken: half-way between two orders, when the server has nothing to do. */
const quietMillis = 500 / perSecond

/** Where orders are placed and where they are seen, and what they are compared with. */
interface Subject {
  readonly name: string
  readonly orderPort: number
  readonly userPort: number
  /** What an order has to go through at least, besides `GET /livez`: each by name, and takes that once, in ms. */
  readonly trips: Readonly<Record<string, () => Promise<number>>>
  /** In ms, at most, of p99. */
  readonly bar: number
}

/** One order, in ms since its POST was sent. */
interface Seen {
  /** The answer to the POST. */
  readonly accepted: number
  /** The first answer that lists the order. */
  readonly visible: number
  /** When the last request left whose answer did not list it: it became visible after that. */
  readonly hidden: number
  readonly polls: ReadonlyArray<number>
  /** The timer was that late: what is measured counts from the sending. */
  readonly late: number
  /** What the bare round trips took. */
  readonly bare: Readonly<Record<string, number>>
}
/** Connections that are free, the last used first; one that was long idle may be closed by the server any time. */
const poolOf = (port: number) => {
  const free: Array<{ readonly link: Connection; readonly since: number }> = []
  return {
    take: async () => {
      const last = free.pop()
      if (last !== undefined && performance.now() - last.since < 2_000) return last.link
      last?.link[Symbol.dispose]()
      return connect(port)
    },
    give: (link: Connection) => void free.push({ link, since: performance.now() }),
    [Symbol.dispose]: () => free.forEach(({ link }) => link[Symbol.dispose]()),
  }
}

/** In one process, on the embedded drivers. */
export const postToVisible: Case = {
  name: "post-to-visible",
  run: async (context) => {
    context.say("starting Galleria and bare PGlite")
    await using bare = await startBarePGlite()
    await using server = await startServer({ modules: ["user", "order"], profiles: context.profiles })
    const { port } = server
    const trips = { "bare statement": async () => (await bare.place({ shape: "amount", millis: 0 })).millis }
    return await visibility({ name: "POST → visible", orderPort: port, userPort: port, trips, bar: 15 }, context)
  },
}

/**
 * How long after its POST an order is listed in `GET /users/{id}/orders`, open loop: orders leave by the clock, however
 * long the ones before take. The user's newest order is asked for again and again on a connection of the order's own.
 */
export const visibility = async (subject: Subject, { say }: Context): Promise<ReadonlyArray<Finding>> => {
  using ordering = poolOf(subject.orderPort)
  using looking = poolOf(subject.userPort)
  const livez = request("GET", "/livez")
  const people = (await signUp(subject.userPort, users, subject.orderPort)).map((id) => ({
    order: request("POST", "/orders", orderOf("amount", id)),
    newest: request("GET", `/users/${id}/orders?limit=1`),
  }))

  const follow = async (n: number, due: number): Promise<Seen> => {
    const { order, newest } = people[n % users]!
    const [link, eye] = [await ordering.take(), await looking.take()]
    const from = performance.now()
    const since = () => performance.now() - from
    const { id } = await expect(link, 201, order)
    const accepted = since()
    const polls: Array<number> = []
    let visible: number | undefined
    let hidden = 0
    while (visible === undefined) {
      const asked = since()
      const { items } = await expect(eye, 200, newest)
      polls.push(since() - asked)
      if (items[0].order_id >= id) visible = since()
      else hidden = asked
    }
    await sleep(Math.max(0, quietMillis - since()))
    const before = since()
    await expect(link, 200, livez)
    const bare: Record<string, number> = { "GET /livez": since() - before }
    ordering.give(link)
    looking.give(eye)
    for (const [name, trip] of Object.entries(subject.trips)) bare[name] = await trip()
    return { accepted, visible, hidden, polls, late: from - due, bare }
  }

  /** Sends orders by the clock, and brings what became of each. */
  const stretch = async (lasting: number) => {
    const start = performance.now() + 50
    const orders: Array<Promise<Seen>> = []
    for (let n = 0; n < lasting * perSecond; n++) {
      const due = start + (n * 1_000) / perSecond
      await sleep(Math.max(0, due - performance.now()))
      const order = follow(n, due)
      orders.push(order)
      // The first failure is reported below, after all orders were sent.
      order.catch(() => {})
    }
    return Promise.all(orders)
  }

  say("warming up")
  await stretch(seconds.warmUp)
  say(`${perSecond} orders a second for ${seconds.measured} s`)
  return findingsOf(subject, await stretch(seconds.measured))
}

const findingsOf = (subject: Subject, seen: ReadonlyArray<Seen>): ReadonlyArray<Finding> => {
  const at = (of: (one: Seen) => number, share: number) => quantile(seen.map(of), share)
  const polls = seen.flatMap((one) => one.polls)
  const halves = Object.keys(seen[0]!.bare).map((name) => ({ name, millis: at(({ bare }) => bare[name]!, 0.5) }))
  const baseline = {
    what: `${halves.map(({ name }) => name).join(" + ")}, p50`,
    value: halves.reduce((sum, { millis }) => sum + millis, 0),
  }
  const name = `${subject.name}, ${perSecond} orders/s`
  const shown = (share: number) =>
    `last seen missing ${at(({ hidden }) => hidden, share).toFixed(1)} ms, POST answered ${at(({ accepted }) => accepted, share).toFixed(1)} ms`
  return [
    {
      name: `${name}, p50`,
      unit: "ms",
      value: at(({ visible }) => visible, 0.5),
      baseline,
      how: `from sending the POST to the answer that lists the order, ${seen.length} orders of ${users} users; p50 of others: ${shown(0.5)}, ${halves.map(({ name, millis }) => `${name} ${millis.toFixed(2)} ms`).join(", ")}`,
    },
    {
      name: `${name}, p99`,
      unit: "ms",
      value: at(({ visible }) => visible, 0.99),
      baseline,
      bar: { of: "value", most: subject.bar },
      how: `p99 of others: ${shown(0.99)}; ${(polls.length / seen.length).toFixed(1)} polls an order of p50 ${median(polls).toFixed(1)} ms are in the numbers: they stand in the way, and the last ends late; orders left up to ${at(({ late }) => late, 1).toFixed(1)} ms behind the clock`,
    },
  ]
}
