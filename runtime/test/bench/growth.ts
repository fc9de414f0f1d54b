import { rm } from "node:fs/promises"
import { startBarePGlite } from "./barePGlite.ts"
import type { Case, Finding } from "./Case.ts"
import { connect, expect, request } from "./connection.ts"
import { datasetUsers, makeDataset } from "./dataset.ts"
import { load } from "./load.ts"
import { type Server, startServer } from "./server.ts"
import { median, spread } from "./statistics.ts"

const sizes = { few: 10_000, many: 1_000_000 }
type Size = keyof typeof sizes

const rounds = 5
const connections = 16
const millis = { warmUp: 2_000, http: 3_000, bare: 1_500 }
const looksPerRound = 40

/** Every list, from its first page and from a page in its middle. */
const listsOf = (orders: number) => {
  const middle = Math.floor(orders / 2)
  return {
    "GET /users": "/users",
    "GET /orders": "/orders",
    "GET /orders?user_id": `/orders?user_id=${1 + (middle % datasetUsers)}`,
    "GET /orders?status": "/orders?status=processed",
    "GET /orders?user_id&status, none": `/orders?user_id=${1 + (middle % datasetUsers)}&status=paid`,
    "GET /users/{id}/orders": `/users/${1 + (middle % datasetUsers)}/orders`,
    "GET /orders/{id}/history": `/orders/${middle}/history`,
  }
}
type List = keyof ReturnType<typeof listsOf>

/** How long one look takes, in ms: the median of many, one after the other. */
const lookAt = async (server: Server, path: string) => {
  await using link = new AsyncDisposableStack()
  const connection = link.use(await connect(server.port))
  const asked = request("GET", path)
  const times: Array<number> = []
  for (let n = 0; n < looksPerRound; n++) {
    const from = performance.now()
    await expect(connection, 200, asked)
    times.push(performance.now() - from)
  }
  return median(times)
}

interface Round {
  readonly http: number
  readonly bare: number
  readonly lists: Readonly<Record<List, number>>
}

/** What a hundred times as many orders cost. */
export const growth: Case = {
  name: "growth",
  run: async ({ say }) => {
    await using stack = new AsyncDisposableStack()
    const found: Record<Size, Array<Round>> = { few: [], many: [] }
    const measured: Array<readonly [Size, () => Promise<Round>]> = []
    for (const size of ["few", "many"] as const) {
      say(`making ${sizes[size]} orders, twice`)
      const [dataDir, bareDir] = [await makeDataset(sizes[size]), await makeDataset(sizes[size])]
      for (const folder of [dataDir, bareDir]) stack.defer(() => rm(folder, { recursive: true, force: true }))
      const server = stack.use(await startServer({ modules: ["user", "order"], dataDir }))
      const bare = stack.use(await startBarePGlite(bareDir))
      const users = Array.from({ length: connections }, (_, n) => n + 1)
      await load(server, users, "amount", millis.warmUp)
      await bare.place({ shape: "amount", millis: millis.warmUp })
      measured.push([
        size,
        async () => {
          const lists = {} as Record<List, number>
          for (const [list, path] of Object.entries(listsOf(sizes[size]))) {
            lists[list as List] = await lookAt(server, path)
          }
          const alone = await bare.place({ shape: "amount", millis: millis.bare })
          const done = await load(server, users, "amount", millis.http)
          return { http: done.accepted / done.millis, bare: alone.orders / alone.millis, lists }
        },
      ])
    }
    for (let n = 1; n <= rounds; n++) {
      for (const [size, measure] of measured) {
        const round = await measure()
        found[size].push(round)
        say(`round ${n} of ${rounds}, ${sizes[size]} orders: ${(round.http * 1_000).toFixed(0)}/s`)
      }
    }
    return [rateOf(found), ...(Object.keys(listsOf(1)) as Array<List>).map((list) => listOf(list, found))]
  },
}

const pairs = <A>(found: Record<Size, ReadonlyArray<Round>>, of: (few: Round, many: Round) => A) =>
  found.few.map((few, n) => of(few, found.many[n]!))

const rateOf = (found: Record<Size, ReadonlyArray<Round>>): Finding => {
  const drops = pairs(found, (few, many) => many.http / few.http)
  const bare = pairs(found, (few, many) => many.bare / few.bare)
  const ratios = drops.map((drop, n) => drop / bare[n]!)
  return {
    name: `POST /orders with ${sizes.many} orders stored`,
    unit: "/s",
    value: median(found.many.map(({ http }) => http * 1_000)),
    baseline: { what: `with ${sizes.few}`, value: median(found.few.map(({ http }) => http * 1_000)) },
    ratio: median(ratios),
    bar: { of: "ratio", least: 0.85 },
    how: `${connections} connections; medians of ${rounds} rounds; the ratio is ${median(drops).toFixed(2)} divided by the bare statement's own, ${median(bare).toFixed(2)}; ratios ${spread(ratios, 2)}`,
  }
}

const listOf = (list: List, found: Record<Size, ReadonlyArray<Round>>): Finding => {
  const ratios = pairs(found, (few, many) => many.lists[list] / few.lists[list])
  return {
    name: `${list}, ${sizes.many} orders`,
    unit: "ms",
    value: median(found.many.map(({ lists }) => lists[list])),
    baseline: { what: `with ${sizes.few}`, value: median(found.few.map(({ lists }) => lists[list])) },
    ratio: median(ratios),
    bar: { of: "ratio", most: 2 },
    how: `median of ${looksPerRound} looks, one after the other; medians of ${rounds} rounds; ratios ${spread(ratios, 2)}`,
  }
}
