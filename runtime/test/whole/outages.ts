import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { auditOverHttp } from "../harness/audit.ts"
import { type Deployment, type KafkaSite, overKafka } from "../harness/deployment.ts"
import { producesRecords } from "../harness/kafka.ts"
import { lagOn, membersOf } from "../harness/kafkaLog.ts"
import { patienceMillis } from "../harness/process.ts"
import { killWhileShopping, makeShoppers, randomOf } from "../harness/shoppers.ts"

/** Modules over a Kafka that can be broken, and a crowd that uses them. */
export interface World<Site extends KafkaSite = KafkaSite> {
  readonly site: Site
  readonly shoppers: ReturnType<typeof makeShoppers>
  /** Those that run; others after a kill. */
  galleria: Deployment
}

/** Something breaks while shoppers go on, and is whole again when it resolves. */
export interface Outage {
  readonly name: string
  readonly happen: (world: World) => Promise<void>
  /** The processes themselves stand still. */
  readonly freezes?: true
  /** How often the broker is back for a moment meanwhile; at most once unless it is given. */
  readonly returns?: number
}

/** After this everything is delivered, counted from the end of the fault. */
const recoveredWithin = 30_000

/** So soon a process says how it is, whatever is wrong with the broker. */
export const tellsWithin = 7_000

/** Requests of a shopper come so far apart: an outage is long, and its consequences must be found soon. */
export const pace = 60

const seconds = (count: number) => sleep(count * 1_000)

/** A process that stands still so long is no member of its group any more. */
const frozenSeconds = 12.5

const freeze = async ({ galleria }: World, module: string) => {
  galleria.of(module).kill("SIGSTOP")
  await seconds(frozenSeconds)
  galleria.of(module).kill("SIGCONT")
}

/** What can happen to the broker and to the way there; `length` in seconds. */
export const brokerOutages = (length: number): ReadonlyArray<Outage> => [
  {
    name: "a broker that is stopped",
    happen: async ({ site: { kafka } }) => {
      await kafka.stop()
      await seconds(length)
      await kafka.start()
    },
  },
  {
    name: "connections that flap",
    returns: Math.floor(length / 2),
    happen: async ({ site: { kafka } }) => {
      for (let n = 0; n < length; n++) {
        await kafka.proxy.set({ refuse: n % 2 === 0 })
        kafka.proxy.cut()
        await seconds(1)
      }
      await kafka.proxy.set({})
    },
  },
  {
    name: "connections that are half open",
    happen: async ({ site: { kafka } }) => {
      await kafka.proxy.set({ blackHole: true })
      await seconds(length)
      await kafka.proxy.set({})
    },
  },
  {
    name: "a broker that is frozen and thawed",
    happen: async ({ site: { kafka } }) => {
      await kafka.pause()
      await seconds(length)
      await kafka.resume()
    },
  },
  {
    name: "answers that are lost after the write",
    happen: async ({ site: { kafka } }) => {
      for (let n = 0; n < length; n++) {
        kafka.proxy.loseAnswers(2, producesRecords)
        await seconds(1)
      }
      kafka.proxy.loseAnswers(0)
    },
  },
  {
    name: "a network that is slow",
    happen: async ({ site: { kafka } }) => {
      await kafka.proxy.set({ latencyMillis: 400 })
      await seconds(length)
      await kafka.proxy.set({})
    },
  },
]

/** The broker itself, up and down. */
export const flappingBroker = (times: number): Outage => ({
  name: "a broker that flaps",
  happen: async ({ site: { kafka } }) => {
    for (let n = 0; n < times; n++) {
      await (n % 2 === 0 ? kafka.stop() : kafka.kill())
      await seconds(1)
      await kafka.start()
      await seconds(2)
    }
  },
})

export const frozen = (module: string): Outage => ({
  name: `a process (${module}) that is frozen for longer than its group waits`,
  freezes: true,
  happen: (world) => freeze(world, module),
})

/** Lets it happen while shoppers go on, and says what is not as it must be afterwards. */
export const suffer = async (world: World, { happen, freezes }: Outage): Promise<ReadonlyArray<string>> => {
  const { galleria, shoppers } = world
  let over = false
  const shopping = shoppers.shop(galleria, () => over, { cutOff: true, pace })
  const watching = freezes ? [] : watch(galleria, () => over)
  await seconds(0.5)
  await happen(world)
  over = true
  await shopping
  return [...(await watching), ...(await recovered(world))]
}

/** Asks all the time how they are, and says what is wrong with that. */
const watch = async (galleria: Deployment, over: () => boolean) => {
  const faults = new Set<string>()
  while (!over()) {
    for (const path of ["/livez", "/readyz", "/metrics"]) {
      const began = Date.now()
      const urls = await Promise.all(galleria.parts.map((part) => part.galleria.url))
      const answers = await Promise.all(urls.map((url) => fetch(`${url}${path}`)))
      if (answers.some(({ ok }) => !ok))
        faults.add(`${path} was answered ${answers.map(({ status }) => status).join()}`)
      const took = Date.now() - began
      if (took > tellsWithin) faults.add(`${path} took ${took} ms`)
    }
    await seconds(0.5)
  }
  return [...faults]
}

/** Kills processes under load, starts them again, and says the same. */
export const survive = async (world: World, modules: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const { site, shoppers, galleria } = world
  await killWhileShopping(shoppers, galleria, modules.map(galleria.of), 500)
  world.galleria = await site.start()
  return await recovered(world)
}

/**
 * Waits until everything is delivered, and says what is not as it must be: in time, and with no event to blame. Where
 * the records of a topic were lost, `/readyz` has to say so, and nothing else.
 */
export const recovered = async (world: World, lost?: string): Promise<ReadonlyArray<string>> => {
  const { galleria, shoppers } = world
  const began = Date.now()
  let rest: string | undefined
  do {
    rest = await undelivered(world)
    if (rest !== undefined) await seconds(0.2)
  } while (rest !== undefined && Date.now() - began < recoveredWithin)
  if (rest !== undefined) return [`not recovered in ${recoveredWithin / 1_000} s: ${rest}`]

  await shoppers.askAgain(galleria)
  const deadline = Date.now() + patienceMillis
  let faults: ReadonlyArray<string>
  do {
    faults = [
      ...(await auditOverHttp(galleria, shoppers.ledger)),
      ...(await deadLetters(galleria)),
      ...(lost === undefined ? await degraded(galleria) : await silent(galleria, lost)),
      ...(await strangers(world)),
    ]
    if (faults.length > 0) await seconds(0.2)
  } while (faults.length > 0 && shoppers.ledger.faults.length === 0 && Date.now() < deadline)
  return faults
}

/** What is on its way, in words; undefined when nothing is. */
export const undelivered = async ({ galleria, site }: World) => {
  const pending = await outboxes(galleria)
  if (pending > 0) return `${pending} events are in outboxes`
  try {
    return await lagOn(site.kafka.bootstrap)
  } catch (error) {
    return `Kafka does not say where the groups are: ${String(error)}`
  }
}

/** Events in the outboxes of all, by `/metrics`. */
const outboxes = async ({ parts }: Deployment) => {
  const texts = await Promise.all(
    parts.map(async ({ galleria }) => (await fetch(`${await galleria.url}/metrics`)).text()),
  )
  return texts
    .flatMap((text) => text.split("\n"))
    .filter((line) => line.startsWith("galleria_outbox_pending{"))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0)
}

/** No event is to blame for what the infrastructure did: there is no entry, not even one that has ended. */
const deadLetters = async (galleria: Deployment) => {
  const statuses = ["retrying", "parked", "resolved", "redriven", "discarded"]
  const pages = statuses.map((status) =>
    galleria.each<{ items: ReadonlyArray<object> }>("GET", `/admin/dead-letters?status=${status}`),
  )
  return (await Promise.all(pages)).flat().flatMap(({ body }) => body.items.map((item) => JSON.stringify(item)))
}

/** Processes that are not ready, in words. */
export const degraded = async (galleria: Deployment) =>
  (await galleria.each<{ state: string }>("GET", "/readyz")).flatMap(({ status, body }) =>
    status === 200 && body.state === "ready" ? [] : [`/readyz is ${status}: ${JSON.stringify(body)}`],
  )

/** What `/readyz` lacks, or has besides, when the records of a topic were lost. */
const silent = async (galleria: Deployment, topic: string) => {
  const all = await galleria.each<{ checks: Record<string, string> }>("GET", "/readyz")
  const faults = all.flatMap(({ body }) => Object.entries(body.checks)).filter(([, state]) => state !== "ok")
  const isTold = faults.some(([check]) => check.startsWith("records."))
  return isTold && faults.every(([check, state]) => check.startsWith("records.") && state.includes(topic))
    ? []
    : [`/readyz does not say just that ${topic} was lost: ${JSON.stringify(faults)}`]
}

/** Each group has its processes as members, which have all its partitions: no replaced process is left. */
export const strangers = async ({ galleria, site }: World) => {
  const found = [...new Set(galleria.parts.flatMap(({ modules }) => modules))].map(async (module) => {
    const members = await membersOf(site.kafka.bootstrap, `${module}_service_group`)
    const { length: expected } = galleria.allOf(module)
    return members.length === expected ? [] : [`${module} has ${members.length} members: ${JSON.stringify(members)}`]
  })
  return (await Promise.all(found)).flat()
}

/** A site of its own, with users who have ordered, whose processes reach Kafka through its proxy. */
export const makeWorld = async (seed: number) => populate(await overKafka.settle({ proxied: true }), seed)

/** The same on a site that is there. */
export const populate = async <Site extends KafkaSite>(
  site: Site,
  seed: number,
  manners: { readonly forgiving?: boolean } = {},
): Promise<World<Site> & AsyncDisposable> => {
  const world = { site, shoppers: makeShoppers(randomOf(seed)), galleria: await site.start() }
  await world.shoppers.welcome(world.galleria, 20, manners)
  return { ...world, [Symbol.asyncDispose]: site[Symbol.asyncDispose] }
}

/** Everything that can happen, each `length` seconds long, with an audit at the end. Says what is not as it must be. */
export const allOutages = async (options: {
  readonly length: number
  readonly seed: number
  readonly say: (line: string) => void
}): Promise<ReadonlyArray<string>> => {
  const { length, seed, say } = options
  await using world = await makeWorld(seed)
  const breakages = [...brokerOutages(length), flappingBroker(length / 3), frozen("user"), frozen("order")]
  const all = [
    ...breakages.map((outage) => ({ name: outage.name, run: () => suffer(world, outage) })),
    ...[["user"], ["order"], ["user", "order"]].map((killed) => ({
      name: `kill -9 of ${killed.join(" and ")}`,
      run: () => survive(world, killed),
    })),
  ]
  for (const { name, run } of all) {
    const began = Date.now()
    const faults = await run()
    say(`${name}: ${faults.length} faults, ${Math.round((Date.now() - began) / 1_000)} s`)
    if (faults.length > 0) return faults
  }
  const { code } = await world.galleria.stop()
  const faults = code === 0 ? await world.site.audit(world.shoppers.ledger) : [`it stopped with ${code}`]
  say(`what databases and log say of ${world.shoppers.ledger.wishes.length} wishes: ${faults.length} faults`)
  return faults
}

/** What each process has in hand. */
export const belongings = ({ parts }: Deployment) =>
  parts.map(({ galleria: { pid } }) => {
    const { length: sockets } = readdirSync(`/proc/${pid}/fd`).filter((fd) => isSocket(`/proc/${pid}/fd/${fd}`))
    const megabytes = Number(/^VmRSS:\s+(\d+)/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024
    return { sockets, megabytes: Math.round(megabytes) }
  })

const isSocket = (link: string) => {
  try {
    return readlinkSync(link).startsWith("socket:")
  } catch {
    return false
  }
}

/** Seconds of processor time that a process has used. */
export const processorSeconds = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}
