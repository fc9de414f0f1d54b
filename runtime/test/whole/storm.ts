import { setTimeout as sleep } from "node:timers/promises"
import type { Random } from "../harness/shoppers.ts"
import { randomOf } from "../harness/shoppers.ts"
import { recovered } from "./outages.ts"
import { makeProduction, type Production } from "./production.ts"

/** What a storm did. */
export interface Weather {
  readonly orders: number
  readonly users: number
  /** Processes ended by kill -9. */
  readonly kills: number
  readonly databaseRestarts: number
  readonly brokerRestarts: number
  /** After the last fault, until everything was delivered and all agreed. */
  readonly recoveryMillis: number
  readonly faults: ReadonlyArray<string>
}

const seconds = (count: number) => sleep(count * 1_000)

/** Requests of a shopper come so far apart that a storm of thousands of orders lasts for minutes. */
const pace = 150

/**
 * Two processes of each module, each with a database, over Kafka, while a crowd orders until there are so many orders, or
 * for so many rounds:
 * each 5 to 10 s the database server or the broker is restarted, by a stop or by a crash, and once in between some
 * process, or several, are killed and started again. Then nothing may be lost, doubled, out of order or parked: by HTTP,
 * in the databases and on the log. Moments and wishes come from `seed`.
 */
export const storm = async (options: {
  readonly orders: number
  readonly rounds?: number
  readonly seed: number
  readonly say: (line: string) => void
}): Promise<Weather> => {
  const random = randomOf(options.seed)
  // user_created may take longer than any wait: a shopper who ordered too early then orders for another user.
  await using world = await makeProduction(options.seed, { USER_WAIT_MS: "500" })
  const count = (path: string) =>
    world.shoppers.ledger.wishes.filter((wish) => wish.path === path && wish.id !== undefined).length
  const weather = { kills: 0, databaseRestarts: 0, brokerRestarts: 0 }
  const restarts = [
    () => {
      weather.databaseRestarts++
      return restartDatabase(world, random)
    },
    () => {
      weather.brokerRestarts++
      return restartBroker(world, random)
    },
  ]
  const { orders, rounds = Infinity } = options
  for (let round = 0; round < rounds && count("/orders") < orders; round++) {
    let over = false
    const shopping = world.shoppers.shop(world.gateway, () => over, { forgiving: true, pace })
    const calm = 5 + random() * 5
    await seconds(calm / 2)
    weather.kills += await killSome(world, random)
    await seconds(calm / 2)
    await restarts[weather.databaseRestarts > weather.brokerRestarts ? 1 : 0]!()
    over = true
    await shopping
    options.say(`${count("/orders")} orders, ${JSON.stringify(weather)}`)
  }
  const began = Date.now()
  world.galleria = await world.site.start()
  const outcome = { ...weather, orders: count("/orders"), users: count("/users") }
  const after = (faults: ReadonlyArray<string>) => ({ ...outcome, recoveryMillis: Date.now() - began, faults })
  const overHttp = after(await recovered(world))
  if (overHttp.faults.length > 0) return overHttp
  const { code } = await world.galleria.stop()
  if (code !== 0) return { ...overHttp, faults: [`it stopped with ${code}:\n${world.galleria.output()}`] }
  return { ...overHttp, faults: await world.site.audit(world.shoppers.ledger) }
}

/** Stops the database server, or lets it crash, and starts it again a moment later. */
export const restartDatabase = async ({ site: { postgres } }: Production, random: Random) => {
  await (random() < 0.5 ? postgres.halt() : postgres.crash())
  await seconds(random() * 2)
  await postgres.resume()
}

/** Stops the broker, or kills it, and starts it again a moment later. */
export const restartBroker = async ({ site: { kafka } }: Production, random: Random) => {
  await (random() < 0.5 ? kafka.stop() : kafka.kill())
  await seconds(random() * 2)
  await kafka.start()
}

/** Kills one process, or some, or all, and starts them again a moment later. Says how many. */
const killSome = async (world: Production, random: Random) => {
  const { parts } = world.galleria
  const first = parts[Math.floor(random() * parts.length)]
  const victims = parts.filter((part) => part === first || random() < 0.2)
  await Promise.all(victims.map(({ galleria }) => galleria.stop("SIGKILL")))
  await seconds(random())
  world.galleria = world.site.launch()
  return victims.length
}
