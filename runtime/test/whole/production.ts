import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { pagesOf } from "../harness/audit.ts"
import { deploymentOf, overKafkaAndPostgres, type Part, type ProductionSite } from "../harness/deployment.ts"
import { connectTo } from "../harness/postgresServer.ts"
import { type Callable, type Galleria, until } from "../harness/process.ts"
import { type Manners, type Random, randomOf, type Wish } from "../harness/shoppers.ts"
import { pace, populate, recovered, tellsWithin, type World } from "./outages.ts"

/** Two processes of each module on databases and a broker that can be broken, and a crowd at their gateway. */
export interface Production extends World<ProductionSite>, AsyncDisposable {
  readonly gateway: Callable
}

/** Something breaks while shoppers go on, and is whole again when it resolves. */
export interface Fault {
  readonly name: string
  readonly happen: (world: Production) => Promise<void>
}

const seconds = (count: number) => sleep(count * 1_000)

/** A gateway gives up on an answer after this: it comes within 2 s, and the machine may be busy. */
const answeredWithin = 4_000

/** Sends each request to the next of the processes that said a moment ago that they are ready. */
export const openGateway = (parts: () => ReadonlyArray<Part>) => {
  const ready = new Set<Part>()
  let isOpen = true
  const look = async (part: Part) => ((await isReady(part.galleria)) ? ready.add(part) : ready.delete(part))
  const looking = async () => {
    for (; isOpen; await sleep(200)) await Promise.all(parts().map(look))
  }
  const looked = looking()
  const call: Callable["call"] = async (...request) => {
    const late = new AbortController()
    const tooLate = sleep(answeredWithin, undefined, { signal: late.signal }).then(() => {
      throw new Error(`no answer in ${answeredWithin} ms`)
    })
    tooLate.catch(() => {})
    const asked = deploymentOf(parts().filter((part) => ready.has(part))).call(...request)
    asked.catch(() => {})
    return (await Promise.race([asked, tooLate]).finally(() => late.abort())) as never
  }
  const close = async () => {
    isOpen = false
    await looked
  }
  return { call, close }
}

const isReady = async ({ url }: Galleria) => {
  try {
    const base = await Promise.race([url, sleep(50)])
    return base !== undefined && (await fetch(`${base}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

/** A site of its own, with users who have ordered, whose processes reach Kafka through its proxy. */
export const makeProduction = async (
  seed: number,
  env: Readonly<Record<string, string>> = {},
  isDatabaseProxied = false,
): Promise<Production> => {
  const site = await overKafkaAndPostgres.settle({ proxied: true, isDatabaseProxied, env })
  // A user who orders before the news of them has come is refused sooner where the wait was made shorter.
  const world = await populate(site, seed, { forgiving: "USER_WAIT_MS" in env })
  const gateway = openGateway(() => world.galleria.parts)
  return Object.assign(world, {
    gateway,
    [Symbol.asyncDispose]: async () => {
      await gateway.close()
      await world.site[Symbol.asyncDispose]()
    },
  })
}

/** Lets it happen while shoppers go on, and says what is not as it must be afterwards. */
export const suffer = async (
  world: Production,
  happen: (world: Production) => Promise<void>,
  { isHarmed = false, ...manners }: Manners & { readonly isHarmed?: boolean } = {},
): Promise<ReadonlyArray<string>> => {
  let over = false
  const shopping = world.shoppers.shop(world.gateway, () => over, { cutOff: true, forgiving: true, pace, ...manners })
  const watching = isHarmed ? [] : watch(world, () => over)
  await seconds(0.5)
  try {
    await happen(world)
  } finally {
    over = true
    await shopping
  }
  return [...(await watching), ...(await recovered(world))]
}

/** Asks all the time how they are, and says what is wrong with that: they say it, whatever is away. */
const watch = async ({ galleria }: Production, over: () => boolean) => {
  const faults = new Set<string>()
  const expected = Object.entries({ "/livez": [200], "/metrics": [200], "/readyz": [200, 503] })
  while (!over()) {
    for (const [path, statuses] of expected) {
      const began = Date.now()
      const urls = await Promise.all(galleria.parts.map((part) => part.galleria.url))
      const answers = await Promise.all(urls.map((url) => fetch(`${url}${path}`)))
      const wrong = answers.filter(({ status }) => !statuses.includes(status))
      for (const { status } of wrong) faults.add(`${path} was answered ${status}`)
      const took = Date.now() - began
      if (took > tellsWithin) faults.add(`${path} took ${took} ms`)
    }
    await seconds(0.5)
  }
  return [...faults]
}

/** A session of the superuser in the database of a module. */
export const superuserAt = ({ site }: Production, module: string) => {
  const url = new URL(site.postgres.url)
  url.pathname = new URL(site.urlOf(module)).pathname
  return connectTo(url.href)
}

/** Runs it in the database of each module, as the superuser. */
const inEach = async (world: Production, statement: (database: string, module: string) => string) => {
  for (const module of ["user", "order"]) {
    await using admin = await superuserAt(world, module)
    await admin.run(statement(new URL(world.site.urlOf(module)).pathname.slice(1), module))
  }
}

const endSessions = (world: Production) =>
  inEach(world, () => "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_database()::name")

/** Holds a transaction open in each database meanwhile. */
const whileHeld = async (world: Production, statement: (module: string) => string, length: number) => {
  await using user = await superuserAt(world, "user")
  await using order = await superuserAt(world, "order")
  for (const [module, session] of Object.entries({ user, order })) {
    await session.run(`begin; ${statement(module)}`)
  }
  await seconds(length)
  for (const session of [user, order]) await session.run("rollback")
}

const openTransactions = "transactions that were left open"

/** What can happen to the databases; `length` in seconds. */
export const databaseFaults = (length: number): ReadonlyArray<Fault> => [
  {
    name: "a PostgreSQL that is stopped",
    happen: async ({ site: { postgres } }) => {
      await postgres.halt()
      await seconds(length)
      await postgres.resume()
    },
  },
  {
    name: "a PostgreSQL that crashes, and crashes again",
    happen: async ({ site: { postgres } }) => {
      for (let n = 0; n < 2; n++) {
        await postgres.crash()
        await postgres.resume()
        await seconds(length / 3)
      }
    },
  },
  {
    name: "sessions that are ended again and again",
    happen: async (world) => {
      for (let n = 0; n < length; n++) {
        await endSessions(world)
        await seconds(1)
      }
    },
  },
  {
    name: "a PostgreSQL that has no connection to give",
    happen: async (world) => {
      await inEach(world, (database) => `alter database ${database} connection limit 0`)
      await endSessions(world)
      await seconds(length)
      await inEach(world, (database) => `alter database ${database} connection limit -1`)
    },
  },
  {
    name: "databases that may not be written to",
    happen: async (world) => {
      await inEach(world, (database) => `alter database ${database} set default_transaction_read_only = on`)
      await endSessions(world)
      await seconds(length)
      await inEach(
        world,
        (database) => `begin read write; alter database ${database} reset default_transaction_read_only; commit`,
      )
    },
  },
  {
    name: openTransactions,
    happen: (world) =>
      whileHeld(world, (module) => `select pg_current_xact_id(); select count(*) from "${module}".outbox`, length),
  },
  {
    name: "rows that all need, locked by a foreign session",
    happen: (world) =>
      whileHeld(
        world,
        (module) =>
          ({
            user: `select * from "user".user_order_summaries order by user_id desc limit 10 for update`,
            order: `select * from "order".orders order by id desc limit 10 for update`,
          })[module]!,
        Math.min(length, 6),
      ),
  },
  {
    name: "a PostgreSQL that is frozen and thawed",
    happen: async ({ site: { postgres } }) => {
      postgres.freeze()
      await seconds(length)
      postgres.thaw()
    },
  },
  {
    name: "a broker that is away while others take over to relay",
    happen: async (world) => {
      const { kafka } = world.site
      await kafka.kill()
      for (let n = 0; n < 3; n++) {
        await seconds(length / 3)
        await endSessions(world)
      }
      await kafka.start()
    },
  },
  {
    name: "Kafka and PostgreSQL that are away at the same time",
    happen: async ({ site: { kafka, postgres } }) => {
      await Promise.all([kafka.kill(), postgres.halt()])
      await seconds(length)
      await Promise.all([kafka.start(), postgres.resume()])
    },
  },
]

/** Which process relays for a module: the one at the other end of the session that has the lock. */
export const relaying = async (world: Production, module: string): Promise<Part | undefined> => {
  await using admin = await superuserAt(world, module)
  const key = `galleria ${module} exclusive`
  const [holder] = await admin.run<{ port: number }>(
    `select client_port as port from pg_locks l join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and l.database = (select oid from pg_database where datname = current_database())
      and (classid::bigint << 32) | objid::bigint = hashtextextended($1, 0)`,
    [key],
  )
  const socket = holder && socketAt(holder.port)
  return world.galleria.parts.find(({ galleria }) => socket !== undefined && hasOpen(galleria.pid, socket))
}

/** The socket of this machine that has that local port, as `/proc/<pid>/fd` names it. */
const socketAt = (port: number) => {
  const hex = port.toString(16).toUpperCase().padStart(4, "0")
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n")
  const inode = rows.map((row) => row.trim().split(/\s+/u)).find(([, local]) => local?.endsWith(`:${hex}`))?.[9]
  return inode === undefined ? undefined : `socket:[${inode}]`
}

const hasOpen = (pid: number, file: string) => {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === file
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

/** How long after something befell the relaying process of a module others relayed, and had done all there was to do. */
export interface TakeOver {
  readonly from: string
  readonly to: string
  readonly relayedMillis: number
  readonly appliedMillis: number
}

/**
 * Lets something befall the process that relays for `order`, then users order at the others, and says how long it took
 * until those orders were published, and until all users see theirs processed.
 */
export const takeOver = async (world: Production, befall: (part: Part) => void | Promise<void>): Promise<TakeOver> => {
  const { gateway } = world
  const victim = await relayingOnce(world)
  // Those who have been there for long: news of others may be with whom that befalls.
  const users = world.shoppers.ledger.wishes
    .flatMap(({ path, id }) => (path === "/users" && id ? [id] : []))
    .slice(0, 20)
  await befall(victim)
  const began = Date.now()
  const orders = await Promise.all(users.map((id) => placed(world, id, `after-${began}-for-${id}`)))
  const relayed = async () => {
    await using admin = await superuserAt(world, "order")
    const rows = await admin.run(`select 1 from "order".outbox where subject = any($1) limit 1`, [
      orders.map(({ id }) => String(id)),
    ])
    return rows.length === 0
  }
  await until("another relays", relayed)
  const relayedMillis = Date.now() - began
  for (const { id, user_id } of orders) {
    await until(`user ${user_id} sees order ${id}`, async () => {
      const seen = await pagesOf<{ order_id: number; status: string }>(gateway, `/users/${user_id}/orders`).catch(
        () => [],
      )
      return seen.some(({ order_id, status }) => order_id === id && status === "processed")
    })
  }
  const appliedMillis = Date.now() - began
  const heir = await relayingOnce(world)
  return { from: victim.name, to: heir.name, relayedMillis, appliedMillis }
}

const relayingOnce = async (world: Production) => {
  let part: Part | undefined
  await until("a process relays", async () => (part = await relaying(world, "order")) !== undefined)
  return part!
}

/** Asks for an order until it is placed. */
const placed = async (world: Production, user_id: number, tag: string) => {
  const wish = wishForOrder(world, user_id, tag)
  await until("the order is placed", async () => {
    const answer = await ask(world.gateway, wish).catch(() => undefined)
    if (answer?.status !== 201) await sleep(100)
    return answer?.status === 201
  })
  return { id: wish.id!, user_id }
}

/** What a test itself wishes for, as shoppers do, with the tag as idempotency key: the ledger knows of it. */
const wishFor = ({ shoppers: { ledger } }: Production, path: Wish["path"], tag: string, body: Wish["body"]): Wish => {
  const wish = { path, tag, body, key: tag, id: undefined }
  ledger.wishes.push(wish)
  return wish
}
export const wishForUser = (world: Production, email: string) => wishFor(world, "/users", email, { email, name: "Ada" })
export const wishForOrder = (world: Production, user_id: number, product_id: string) => {
  world.shoppers.ledger.touched.add(user_id)
  return wishFor(world, "/orders", product_id, { user_id, items: [{ product_id, quantity: 1, price: "7.00" }] })
}

/** Asks for it, and notes what it becomes. */
export const ask = async ({ call }: Callable, wish: Wish) => {
  const answer = await call<{ id: number }>("POST", wish.path, wish.body, { "idempotency-key": wish.key! })
  if (answer.status === 201) wish.id = answer.body.id
  return answer
}

/** Up to three processes of each module come and go, each second or two, by SIGTERM or by kill -9; one always stays. */
export const comeAndGo = async (world: Production, random: Random, length: number): Promise<ReadonlyArray<string>> => {
  const { site } = world
  const faults: Array<string> = []
  const leaving = new Map<string, Promise<unknown>>()
  const end = Date.now() + length * 1_000
  let went = 0
  while (Date.now() < end) {
    world.galleria = site.launch({ instances: 3 })
    const staying = world.galleria.parts.filter(({ name }) => !leaving.has(name))
    const free = staying.filter(({ modules }) => staying.filter((other) => other.modules[0] === modules[0]).length > 1)
    const part = free[Math.floor(random() * free.length)]
    if (part !== undefined) {
      const signal = random() < 0.5 ? "SIGTERM" : "SIGKILL"
      const gone = part.galleria.stop(signal).then((exit) => {
        leaving.delete(part.name)
        // A process without any output does not handle signals yet.
        const hasOutput = part.galleria.output() !== ""
        if (signal === "SIGTERM" && hasOutput && exit.code !== 0) faults.push(`${part.name}: ${JSON.stringify(exit)}`)
      })
      leaving.set(part.name, gone)
      went++
    }
    await seconds(1 + random())
  }
  await Promise.all(leaving.values())
  await Promise.all(
    site
      .launch({ instances: 3 })
      .parts.filter(({ name }) => name.endsWith("3"))
      .map(({ galleria }) => galleria.stop("SIGKILL")),
  )
  world.galleria = await site.start()
  if (went < length / 3) faults.push(`only ${went} went`)
  return faults
}

/** All of them, `length` seconds each, with an audit at the end. Says what is not as it must be. */
export const allFaults = async (options: {
  readonly length: number
  readonly seed: number
  readonly say: (line: string) => void
}): Promise<ReadonlyArray<string>> => {
  const { length, seed, say } = options
  await using world = await makeProduction(seed)
  const leftOpen = databaseFaults(length * 3).find(({ name }) => name === openTransactions)!
  for (const { name, happen } of [...databaseFaults(length), leftOpen]) {
    const began = Date.now()
    const faults = await suffer(world, happen)
    say(`${name}: ${faults.length} faults, ${Math.round((Date.now() - began) / 1_000)} s`)
    if (faults.length > 0) return faults
  }
  let came: ReadonlyArray<string> = []
  const comingAndGoing = async () => void (came = await comeAndGo(world, randomOf(seed), length * 2))
  const faults = [...(await suffer(world, comingAndGoing, { isHarmed: true })), ...came]
  say(`processes that come and go: ${faults.length} faults`)
  if (faults.length > 0) return faults
  const { code } = await world.galleria.stop()
  return code === 0 ? await world.site.audit(world.shoppers.ledger) : [`it stopped with ${code}`]
}
