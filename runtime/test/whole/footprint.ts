import { readdirSync } from "node:fs"
import { spine } from "../harness/spine.ts"
import { until } from "../harness/process.ts"
import { setTimeout as sleep } from "node:timers/promises"
import { belongings } from "./outages.ts"
import { type Production, superuserAt } from "./production.ts"
import { deploymentOf, type Part } from "../harness/deployment.ts"

/** What a process has in hand. */
interface Hold {
  readonly name: string
  readonly megabytes: number
  readonly sockets: number
  /** Open files, sockets included. */
  readonly files: number
}

/** What a deployment takes up while nothing is under way. */
export interface Footprint {
  readonly processes: ReadonlyArray<Hold>
  /** Of the databases together, in megabytes. */
  readonly disk: number
  /** Of the largest outbox, which is empty, in megabytes. */
  readonly outbox: number
  /** Orders and users that were made so far. */
  readonly made: number
  /** How long an order takes, in milliseconds: the median of some. */
  readonly orderMillis: number
  /** Records that were not handled, and events that were not sent, as the processes themselves say. */
  readonly behind: number
}

/**
 * How much more there may be of each after hours than after the warm-up. A process that has just begun to work takes up
 * more memory for a while; what grows with each request comes to more than that within minutes.
 */
export const margins = {
  /** Of each process. */
  megabytes: 120,
  sockets: 10,
  files: 12,
  /** Beside what each order and user takes up. */
  disk: 48,
  diskKilobytesOfEach: 16,
  outbox: 16,
  /** A machine that is busy is slower by as much, and by this factor. */
  orderMillis: 50,
  orderFactor: 4,
}

/** What is not where it was after the warm-up; memory counts where `judgesMemory`. */
export const growth = (before: Footprint, after: Footprint, judgesMemory: boolean): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const limit = (what: string, now: number, most: number, was: number) => {
    if (now > most) faults.push(`${what}: ${round(now)}, where ${round(was)} were and at most ${round(most)} may be`)
  }
  for (const was of before.processes) {
    const now = after.processes.find(({ name }) => name === was.name)
    if (now === undefined) {
      faults.push(`${was.name} does not run any more`)
      continue
    }
    for (const part of [...(judgesMemory ? (["megabytes"] as const) : []), "sockets", "files"] as const) {
      limit(`${part} of ${was.name}`, now[part], was[part] + margins[part], was[part])
    }
  }
  const made = after.made - before.made
  const mostDisk = before.disk + margins.disk + (made * margins.diskKilobytesOfEach) / 1_024
  limit(`megabytes of the databases after ${made} more orders and users`, after.disk, mostDisk, before.disk)
  limit("megabytes of an outbox that is empty", after.outbox, before.outbox + margins.outbox, before.outbox)
  const mostMillis = before.orderMillis * margins.orderFactor + margins.orderMillis
  limit("milliseconds for an order", after.orderMillis, mostMillis, before.orderMillis)
  limit("records and events that are behind", after.behind, 0, before.behind)
  return faults
}

const round = (value: number) => Math.round(value * 10) / 10

/** Samples of memory, a second apart, of which the least counts: what is garbage may be there in some of them. */
const samples = 5

const holdsOf = (parts: ReadonlyArray<Part>): ReadonlyArray<Hold> =>
  belongings(deploymentOf(parts)).map((belonging, n) => {
    const { name, galleria } = parts[n]!
    return { ...belonging, name, files: readdirSync(`/proc/${galleria.pid}/fd`).length }
  })

/** Takes it of these processes and of all databases; `order` makes one order. */
export const footprintOf = async (
  world: Production,
  parts: ReadonlyArray<Part>,
  order: () => Promise<void>,
): Promise<Footprint> => {
  const millis: Array<number> = []
  for (let n = 0; n < 25; n++) {
    const began = performance.now()
    await order()
    millis.push(performance.now() - began)
  }
  let behind = 0
  await until("the processes say that nothing is behind", async () => (behind = await behindOf(world)) === 0).catch(
    () => {},
  )
  const seen: Array<ReadonlyArray<Hold>> = []
  // Unused connections are closed after seconds.
  for (let n = 0; n < 15; n++) {
    seen.push(holdsOf(parts))
    await sleep(1_000)
  }
  const least = (name: string, part: "megabytes" | "sockets" | "files") =>
    Math.min(...seen.slice(-samples).map((holds) => holds.find((hold) => hold.name === name)![part]))
  const sizes = await Promise.all(spine.map((module) => sizesOf(world, module)))
  return {
    processes: parts.map(({ name }) => ({
      name,
      megabytes: least(name, "megabytes"),
      sockets: least(name, "sockets"),
      files: least(name, "files"),
    })),
    disk: sizes.reduce((sum, { disk }) => sum + disk, 0),
    outbox: Math.max(...sizes.map(({ outbox }) => outbox)),
    made: world.shoppers.ledger.wishes.filter(({ id }) => id !== undefined).length,
    orderMillis: millis.toSorted((a, b) => a - b)[millis.length >> 1]!,
    behind,
  }
}

const sizesOf = async (world: Production, module: string) => {
  await using admin = await superuserAt(world, module)
  const [row] = await admin.run<{ disk: number; outbox: number }>(
    `select pg_database_size(current_database())::float8 / 1048576 as disk,
      pg_total_relation_size('"${module}".outbox')::float8 / 1048576 as outbox`,
  )
  return row!
}

/** By `/metrics` of all processes. */
const behindOf = async ({ galleria: { parts } }: Production) => {
  const texts = await Promise.all(
    parts.map(async ({ galleria }) => (await fetch(`${await galleria.url}/metrics`)).text()),
  )
  return texts
    .flatMap((text) => text.split("\n"))
    .filter((line) => /^galleria_(?:outbox_pending|consumer_lag)\{/u.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0)
}
