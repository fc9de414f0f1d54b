import { connect, expect, request } from "./connection.ts"
import { orderOf, type Shape } from "./orders.ts"
import type { Server } from "./server.ts"

const mostDrainMillis = 60_000

/** One stretch of load on the server. */
export interface Load {
  readonly accepted: number
  readonly millis: number
  /** Orders that could be seen when the last 201 had come, and how long after it the others could. */
  readonly visible: number
  readonly drainMillis: number
  readonly latencies: ReadonlyArray<number>
  readonly serverCpuMicros: number
  readonly loadCpuMicros: number
}

/**
 * Places orders for that long, and waits until all can be seen. A connection for each user; its next order leaves when
 * the last is answered.
 */
export const load = async (
  server: Server,
  users: ReadonlyArray<number>,
  shape: Shape,
  lasting: number,
): Promise<Load> => {
  await using links = new AsyncDisposableStack()
  const clients: Array<{ readonly place: () => Promise<void>; readonly count: () => Promise<number> }> = []
  const latencies: Array<number> = []
  for (const user of users) {
    const link = links.use(await connect(server.port))
    const order = request("POST", "/orders", orderOf(shape, user))
    const summary = request("GET", `/users/${user}/order-summary`)
    clients.push({
      count: async () => (await expect(link, 200, summary)).orders_count,
      place: async () => {
        const from = performance.now()
        const answer = await link.send(order)
        if (answer.status !== 201) throw new Error(`an order was answered ${answer.status}: ${answer.body}`)
        latencies.push(performance.now() - from)
      },
    })
  }
  const visible = async () => sum(await Promise.all(clients.map(({ count }) => count())))

  const before = await visible()
  const cpu = process.cpuUsage()
  const serverCpu = server.cpuMillis() ?? Number.NaN
  const from = performance.now()
  await Promise.all(
    clients.map(async ({ place }) => {
      while (performance.now() - from < lasting) await place()
    }),
  )
  const end = performance.now()
  const { user, system } = process.cpuUsage(cpu)
  const accepted = latencies.length
  const atEnd = (await visible()) - before
  for (let seen = atEnd; seen !== accepted; seen = (await visible()) - before) {
    if (seen > accepted) throw new Error(`${accepted} orders were accepted, and ${seen} can be seen`)
    if (performance.now() - end > mostDrainMillis) throw new Error(`only ${seen} of ${accepted} orders can be seen`)
  }
  const drainMillis = performance.now() - end
  return {
    accepted,
    millis: end - from,
    visible: atEnd,
    drainMillis,
    latencies,
    serverCpuMicros: (((server.cpuMillis() ?? Number.NaN) - serverCpu) * 1_000) / accepted,
    loadCpuMicros: (user + system) / accepted,
  }
}

const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)
