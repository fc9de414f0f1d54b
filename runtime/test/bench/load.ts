import { type Connection, connect, request } from "./connection.ts"
import { once, orderOf, type Shape } from "./orders.ts"
import type { Server } from "./server.ts"

const mostDrainMillis = 60_000

/** Orders that were placed for a while. */
export interface Placed {
  readonly accepted: number
  readonly millis: number
  readonly latencies: ReadonlyArray<number>
  readonly loadCpuMicros: number
}

/** One stretch of load on the server. */
export interface Load extends Placed {
  /** Orders that could be seen when the last 201 had come, and how long after it the others could. */
  readonly visible: number
  readonly drainMillis: number
  readonly serverCpuMicros: number
}

/** Places orders for that long. A connection for each user; its next order leaves when the last is answered. */
export const place = async (
  port: number,
  users: ReadonlyArray<number>,
  shape: Shape,
  lasting: number,
): Promise<Placed> => {
  using stack = new DisposableStack()
  const links = await Promise.all(users.map(async () => stack.use(await connect(port))))
  const latencies: Array<number> = []
  const placing = async (link: Connection, user: number) => {
    const order = request("POST", "/orders", orderOf(shape, user))
    while (performance.now() - from < lasting) {
      const sent = performance.now()
      const answer = await link.send(order)
      if (answer.status !== 201) throw new Error(`an order was answered ${answer.status}: ${answer.body}`)
      latencies.push(performance.now() - sent)
    }
  }
  const cpu = process.cpuUsage()
  const from = performance.now()
  await Promise.all(links.map((link, n) => placing(link, users[n]!)))
  const millis = performance.now() - from
  const { user, system } = process.cpuUsage(cpu)
  return { accepted: latencies.length, millis, latencies, loadCpuMicros: (user + system) / latencies.length }
}

/** Places orders for that long, and waits until all can be seen by the users, on the same server or another. */
export const load = async (
  server: Pick<Server, "port" | "cpuMillis">,
  users: ReadonlyArray<number>,
  shape: Shape,
  lasting: number,
  seenAt: Pick<Server, "port"> = server,
): Promise<Load> => {
  const summaries = users.map((user) => request("GET", `/users/${user}/order-summary`))
  const visible = async () => {
    const counts = await Promise.all(summaries.map((summary) => once(seenAt.port, 200, summary)))
    return counts.reduce((total, { orders_count }) => total + orders_count, 0)
  }

  const before = await visible()
  const cpu = server.cpuMillis() ?? Number.NaN
  const placed = await place(server.port, users, shape, lasting)
  const { accepted } = placed
  const end = performance.now()
  const atEnd = (await visible()) - before
  for (let seen = atEnd; seen !== accepted; seen = (await visible()) - before) {
    if (seen > accepted) throw new Error(`${accepted} orders were accepted, and ${seen} can be seen`)
    if (performance.now() - end > mostDrainMillis) throw new Error(`only ${seen} of ${accepted} orders can be seen`)
  }
  return {
    ...placed,
    visible: atEnd,
    drainMillis: performance.now() - end,
    serverCpuMicros: (((server.cpuMillis() ?? Number.NaN) - cpu) * 1_000) / accepted,
  }
}
