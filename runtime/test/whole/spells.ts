import { setTimeout as sleep } from "node:timers/promises"
import { connectTo } from "../harness/postgresServer.ts"
import { until } from "../harness/process.ts"
import type { Random } from "../harness/shoppers.ts"
import type { Production } from "./production.ts"
import { restartBroker, restartDatabase } from "./storm.ts"

/** Something that befalls production from time to time, while shoppers go on. */
export interface Spell {
  readonly name: string
  /** Users who come meanwhile would be lost: a dump does not have what its module itself writes after it. */
  readonly regularsOnly?: true
  /** Resolves when it is over; `seconds` is how long it lasts where that is not up to it. Says what went wrong. */
  readonly happen: (
    world: Production,
    options: { readonly seconds: number; readonly random: Random },
  ) => Promise<ReadonlyArray<string>>
}

/** Of each module the first process runs from the beginning to the end: what it holds shows what leaks. */
export const isSteady = ({ name }: { readonly name: string }) => name.endsWith(" 1")

const othersOf = ({ galleria: { parts } }: Production) => parts.filter((part) => !isSteady(part))

const seconds = (count: number) => sleep(count * 1_000)

/** A dump of a module's database as it is now; its sessions are cut for it, and come back. */
const dump = async (world: Production, module: string) => {
  const { pathname } = new URL(world.site.urlOf(module))
  const own = pathname.slice(1)
  await using admin = await connectTo(world.site.postgres.url)
  const copy = `${own}_dump`
  await admin.run(`drop database if exists ${copy}`)
  await whileClosed(admin, own, () => admin.run(`create database ${copy} template ${own} owner ${own}`))
  return {
    restore: async () => {
      await using again = await connectTo(world.site.postgres.url)
      await whileClosed(again, own, async () => {
        await again.run(`drop database ${own} with (force)`)
        await again.run(`alter database ${copy} rename to ${own}`)
      })
    },
  }
}

/** Runs it while no other session is in that database or can connect. */
const whileClosed = async (
  admin: Awaited<ReturnType<typeof connectTo>>,
  database: string,
  work: () => Promise<unknown>,
) => {
  await admin.run(`alter database ${database} allow_connections false`)
  await until("all sessions have ended", async () => {
    const ended = await admin.run(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}'`,
    )
    return ended.length === 0
  })
  await work()
  await admin.run(`alter database ${database} allow_connections true`)
}

export const spells: ReadonlyArray<Spell> = [
  {
    name: "processes that are killed",
    happen: async (world) => {
      await Promise.all(othersOf(world).map(({ galleria }) => galleria.stop("SIGKILL")))
      world.galleria = await world.site.start()
      return []
    },
  },
  {
    name: "processes that are stopped and started, one after the other",
    happen: async (world) => {
      const faults: Array<string> = []
      for (const { name, galleria } of othersOf(world)) {
        const { code, signal } = await galleria.stop()
        if (code !== 0) faults.push(`${name} stopped with ${code ?? signal}`)
        world.galleria = await world.site.start()
      }
      return faults
    },
  },
  {
    name: "a slow way to Kafka",
    happen: async ({ site: { kafka } }, { seconds: length }) => {
      await kafka.proxy.set({ latencyMillis: 300 })
      await seconds(length)
      await kafka.proxy.set({})
      return []
    },
  },
  {
    name: "a slow way to the databases",
    happen: async ({ site: { way } }, { seconds: length }) => {
      await way.set({ latencyMillis: 60 })
      await seconds(length)
      await way.set({})
      return []
    },
  },
  {
    name: "a broker that is restarted",
    happen: async (world, { random }) => {
      await restartBroker(world, random)
      return []
    },
  },
  {
    name: "a database server that is restarted",
    happen: async (world, { random }) => {
      await restartDatabase(world, random)
      return []
    },
  },
  {
    name: "a database that is restored from an older dump",
    regularsOnly: true,
    happen: async (world, { seconds: length }) => {
      const { restore } = await dump(world, "user")
      await seconds(length)
      await restore()
      return []
    },
  },
]
