import { setTimeout as sleep } from "node:timers/promises"
import { startBarePGlite } from "./barePGlite.ts"
import type { Case } from "./Case.ts"
import { type Connection, connect, expect, request } from "./connection.ts"
import { orderOf, signUp } from "./orders.ts"
import { startServer } from "./server.ts"
import { median, quantile } from "./statistics.ts"

const users = 20
const perSecond = 20
const seconds = { warmUp: 5, measured: 15 }

/** When the bare round trips are taken: half-way between two orders, when the server has nothing to do. */
const quietMillis = 500 / perSecond

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
  readonly livez: number
  readonly statement: number
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

/**
 * How long after its POST an order is listed in `GET /users/{id}/orders`, open loop: orders leave by the clock, however
 * long the ones before take. The user's newest order is asked for again and again on the order's own connection.
 */
export const postToVisible: Case = {
  name: "post-to-visible",
  run: async ({ say, profiles }) => {
    say("starting Galleria and bare PGlite")
    await using bare = await startBarePGlite()
    await using server = await startServer({ modules: ["user", "order"], profiles })
    using pool = poolOf(server.port)
    const livez = request("GET", "/livez")
    const people = (await signUp(server.port, users)).map((id) => ({
      order: request("POST", "/orders", orderOf("amount", id)),
      newest: request("GET", `/users/${id}/orders?limit=1`),
    }))

    const follow = async (n: number, due: number): Promise<Seen> => {
      const { order, newest } = people[n % users]!
      const link = await pool.take()
      const from = performance.now()
      const since = () => performance.now() - from
      const { id } = await expect(link, 201, order)
      const accepted = since()
      const polls: Array<number> = []
      let visible: number | undefined
      let hidden = 0
      while (visible === undefined) {
        const asked = since()
        const { items } = await expect(link, 200, newest)
        polls.push(since() - asked)
        if (items[0].order_id >= id) visible = since()
        else hidden = asked
      }
      await sleep(Math.max(0, quietMillis - since()))
      const before = since()
      await expect(link, 200, livez)
      const trip = since() - before
      pool.give(link)
      const { millis: statement } = await bare.place({ shape: "amount", millis: 0 })
      return { accepted, visible, hidden, polls, late: from - due, livez: trip, statement }
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
        // The first failure is told below, when all orders have left.
        order.catch(() => {})
      }
      return Promise.all(orders)
    }

    say("warming up")
    await stretch(seconds.warmUp)
    say(`${perSecond} orders a second for ${seconds.measured} s`)
    return findingsOf(await stretch(seconds.measured))
  },
}

const findingsOf = (seen: ReadonlyArray<Seen>) => {
  const at = (of: (one: Seen) => number, share: number) => quantile(seen.map(of), share)
  const polls = seen.flatMap((one) => one.polls)
  const half = { livez: at(({ livez }) => livez, 0.5), statement: at(({ statement }) => statement, 0.5) }
  const trip = { what: "GET /livez + bare statement, p50", value: half.livez + half.statement }
  const name = `POST → visible, ${perSecond} orders/s`
  const shown = (share: number) =>
    `last seen missing ${at(({ hidden }) => hidden, share).toFixed(1)} ms, POST answered ${at(({ accepted }) => accepted, share).toFixed(1)} ms`
  return [
    {
      name: `${name}, p50`,
      unit: "ms",
      value: at(({ visible }) => visible, 0.5),
      baseline: trip,
      how: `from sending the POST to the answer that lists the order, ${seen.length} orders of ${users} users; p50 of others: ${shown(0.5)}, GET /livez ${half.livez.toFixed(2)} ms, bare statement ${half.statement.toFixed(2)} ms`,
    },
    {
      name: `${name}, p99`,
      unit: "ms",
      value: at(({ visible }) => visible, 0.99),
      baseline: trip,
      bar: { of: "value", most: 20 } as const,
      how: `p99 of others: ${shown(0.99)}; ${(polls.length / seen.length).toFixed(1)} polls an order of p50 ${median(polls).toFixed(1)} ms are in the numbers: they stand in the way, and the last ends late; orders left up to ${at(({ late }) => late, 1).toFixed(1)} ms behind the clock`,
    },
  ]
}
