import { Effect } from "effect"
import { setTimeout as sleep } from "node:timers/promises"
import { auditOverHttp as auditModules } from "../../admin/audit/overHttp.ts"
import { auditOverHttp } from "../harness/audit.ts"
import { patienceMillis, until } from "../harness/process.ts"
import { type Random, randomOf, type Wish } from "../harness/shoppers.ts"
import { type Footprint, footprintOf, growth } from "./footprint.ts"
import { degraded, strangers, undelivered } from "./outages.ts"
import { ask, makeProduction, type Production, superuserAt, wishForOrder, wishForUser } from "./production.ts"
import { isSteady, type Spell, spells } from "./spells.ts"

/** What a soak came to. */
export interface Soaked {
  readonly spells: number
  readonly orders: number
  /** Dead letters of the user who always failed, all of which took effect in the end. */
  readonly failed: number
  readonly before: Footprint
  readonly after: Footprint
  readonly faults: ReadonlyArray<string>
}

export interface SoakOptions {
  readonly millis: number
  readonly seed: number
  readonly say: (line: string) => void
}

/** A shorter soak does not judge memory: a process that has just begun to work takes up more for a while. */
const memoryMillis = 600_000

const seconds = (count: number) => sleep(count * 1_000)

/** Two processes of each module, a user who always fails, and what is known of them. */
interface Course {
  readonly world: Production
  readonly random: Random
  readonly victim: number
  /** How long a spell and the calm around it are, in seconds. */
  readonly slot: number
  /** Milliseconds between two requests of a shopper. */
  readonly pace: number
  readonly say: (line: string) => void
}

/**
 * Two processes of each module, on PostgreSQL and Kafka, for so long, while a crowd orders. In turn, over and over: some
 * processes are killed, or stopped and started; the way to Kafka or to the databases is slow; the broker or the database
 * server is restarted; the user module's database is restored from an older dump. One user's events always fail in the
 * user module, by a trigger in its database.
 *
 * Checked all the time: `/livez` of the processes that go on is green, and they log no error. After each turn of all spells,
 * and in the end: everything was delivered; what shoppers were answered is so; all processes are ready, alone in their groups;
 * no event is set aside but those of that user. In the end, once those were redriven and took effect: `npm run audit` finds
 * nothing, and neither do the databases and the log by themselves. And what it all takes up is where it was after the
 * warm-up (`footprint.ts`): memory, sockets and files of the processes that ran from beginning to end, the disk for each
 * order, the empty outboxes, the time that an order takes, and what is behind.
 */
export const soak = async ({ millis, seed, say }: SoakOptions): Promise<Soaked> => {
  const random = randomOf(seed)
  // user_created may take longer than any wait: a shopper who ordered too early then orders for another user.
  await using world = await makeProduction(seed, { USER_WAIT_MS: "3000" }, true)
  const slot = Math.min(40, Math.max(6, (millis / 1_000) * (0.5 / spells.length)))
  const course = { world, random, slot, say, pace: slot < 20 ? 150 : 400, victim: await makeVictim(world) }
  const steady = world.galleria.parts.filter(isSteady)
  const makeOrder = orderFor(course)
  const watching = watch(steady)
  const faults: Array<string> = []
  const end = Date.now() + millis

  await shopping(course, () => seconds(slot))
  faults.push(...(await settled(course)))
  const before = await footprintOf(world, steady, makeOrder)
  say(`after the warm-up: ${JSON.stringify(before)}`)

  let cast = 0
  while (faults.length === 0 && (Date.now() < end || cast < spells.length)) {
    const spell = spells[cast++ % spells.length]!
    const began = Date.now()
    faults.push(...(await suffer(course, spell)))
    if (cast % spells.length === 0) faults.push(...(await settled(course)))
    const orders = ordersOf(world)
    say(
      `${spell.name}: ${faults.length} faults, ${Math.round((Date.now() - began) / 1_000)} s, ${orders} orders so far`,
    )
  }
  if (faults.length === 0) faults.push(...(await settled(course)))
  const failed = await relieve(course)
  if (faults.length === 0) faults.push(...failed.faults, ...(await settled(course, true)))
  const judgesMemory = millis >= memoryMillis
  let after = await footprintOf(world, steady, makeOrder)
  for (let more = 0; more < 3 && growth(before, after, judgesMemory).length > 0; more++) {
    after = await footprintOf(world, steady, makeOrder)
  }
  say(`in the end: ${JSON.stringify(after)}`)
  faults.push(...growth(before, after, judgesMemory), ...(await watching.stop()))
  if (faults.length === 0) faults.push(...(await audits(course)))
  return { spells: cast, orders: ordersOf(world), failed: failed.count, before, after, faults }
}

const ordersOf = ({ shoppers: { ledger } }: Production) =>
  ledger.wishes.filter(({ path, id }) => path === "/orders" && id !== undefined).length

/** Does it while shoppers shop. */
const shopping = async ({ world, pace }: Course, meanwhile: () => Promise<unknown>, regularsOnly = false) => {
  let over = false
  const shopped = world.shoppers.shop(world.gateway, () => over, { forgiving: true, regularsOnly, pace })
  try {
    await meanwhile()
  } finally {
    over = true
    await shopped
  }
}

const suffer = async (course: Course, { happen, regularsOnly }: Spell): Promise<ReadonlyArray<string>> => {
  const { world, random, slot } = course
  const faults: Array<string> = []
  const cast = async () => {
    await seconds(slot / 3)
    await order(world, course.victim)
    faults.push(...(await happen(world, { seconds: slot / 3, random })))
    await seconds(slot / 3)
    await order(world, course.victim)
  }
  await shopping(course, cast, regularsOnly === true)
  // What is known of that user's orders is not so yet.
  world.shoppers.ledger.touched.delete(course.victim)
  return faults
}

let tags = 0

/** Asks until it is there. */
const grant = async (world: Production, wish: Wish) => {
  await until(`${wish.tag} is there`, async () => {
    const answer = await ask(world.gateway, wish).catch(() => undefined)
    if (answer?.status !== 201) await sleep(100)
    return answer?.status === 201
  })
  return wish.id!
}

const order = (world: Production, user: number) => grant(world, wishForOrder(world, user, `soak-${++tags}`))

/** Makes an order for one who came at the beginning. */
const orderFor = ({ world }: Course) => {
  const user = world.shoppers.ledger.wishes.find(({ path, id }) => path === "/users" && id !== undefined)!.id!
  return async () => void (await order(world, user))
}

/** A user whose every event fails in the user module. */
const makeVictim = async (world: Production) => {
  const victim = await grant(world, wishForUser(world, "always-failing@example.org"))
  await using admin = await superuserAt(world, "user")
  await admin.run(`create function "user".refuse() returns trigger language plpgsql as
    $$ begin raise exception 'the orders of this user cannot be listed'; end $$`)
  await admin.run(`create trigger refuse before insert or update on "user".user_orders
    for each row when (new.user_id = ${victim}) execute function "user".refuse()`)
  return victim
}

interface Entry {
  readonly reaction: string
  readonly status: string
  readonly error: string | null
  readonly event: { readonly key: string | null }
}

const statuses = ["retrying", "parked", "resolved", "redriven", "discarded"]

const deadLettersOf = async ({ world }: Course, of = statuses) => {
  const pages = of.map((status) =>
    world.galleria.each<{ items: ReadonlyArray<Entry> }>("GET", `/admin/dead-letters?limit=200&status=${status}`),
  )
  return (await Promise.all(pages)).flat().flatMap(({ body }) => body.items)
}

/** How long after a spell everything is delivered. */
const settledWithin = 90_000

/** What takes longer than this is said. */
const soonMillis = 30_000

/** Waits until everything is delivered, and says what is not as it must be. `isRelieved`: also for the user who always failed. */
const settled = async (course: Course, isRelieved = false): Promise<ReadonlyArray<string>> => {
  const { world, victim, say } = course
  const { ledger, askAgain } = world.shoppers
  const began = Date.now()
  world.galleria = await world.site.start()
  let waitedFor = "the start"
  let rest: string | undefined
  do {
    rest = await undelivered(world)
    if (rest === undefined) continue
    waitedFor = rest
    await seconds(0.2)
  } while (rest !== undefined && Date.now() - began < settledWithin)
  if (rest !== undefined) return [`not settled in ${settledWithin / 1_000} s: ${rest}`]
  await askAgain(world.galleria)
  if (isRelieved) ledger.touched.add(victim)
  const deadline = Date.now() + patienceMillis
  let faults: ReadonlyArray<string>
  do {
    if (!isRelieved) ledger.touched.delete(victim)
    const strange = (await deadLettersOf(course)).filter(({ event }) => event.key !== String(victim))
    faults = [
      ...(await auditOverHttp(world.galleria, ledger)),
      ...strange.map((entry) => `set aside: ${JSON.stringify(entry)}`),
      ...(await degraded(world.galleria)),
      ...(await strangers(world)),
    ]
    if (faults.length === 0) continue
    waitedFor = faults[0]!
    await seconds(0.5)
  } while (faults.length > 0 && ledger.faults.length === 0 && Date.now() < deadline)
  const millis = Date.now() - began
  if (millis > soonMillis)
    say(`settled after ${Math.round(millis / 1_000)} s; the last that was waited for: ${waitedFor}`)
  return faults
}

/** Mends what made that user's events fail, has them redriven, and waits until all have taken effect. Says how many. */
const relieve = async (course: Course) => {
  const { world, victim } = course
  const open = await deadLettersOf(course, ["retrying", "parked"])
  if (open.length === 0) return { count: 0, faults: ["no event of the user who always fails was set aside"] }
  {
    await using admin = await superuserAt(world, "user")
    await admin.run(`drop trigger refuse on "user".user_orders`)
  }
  await world.galleria.of("user").call("POST", "/admin/dead-letters/redrive", {})
  const left = async () => (await deadLettersOf(course, ["retrying", "parked"])).length
  await until("they have taken effect", async () => (await left()) === 0).catch(() => {})
  const faults = (await left()) > 0 ? [`${await left()} events of user ${victim} do not take effect`] : []
  // They are accounted for: whatever else is found set aside is a fault.
  await using admin = await superuserAt(world, "user")
  await admin.run(`delete from "user".held where status in ('resolved', 'redriven')`)
  return { count: open.length, faults }
}

/** What `npm run audit` finds, and what databases and log say by themselves once nothing runs. */
const audits = async ({ world }: Course): Promise<ReadonlyArray<string>> => {
  const { galleria, site, shoppers } = world
  const addresses = await Promise.all(
    galleria.parts.filter(isSteady).map(async (part) => ({ url: await part.galleria.url })),
  )
  const { violations } = await Effect.runPromise(auditModules(addresses, undefined))
  const faults = violations.map((violation) => JSON.stringify(violation))
  const { code } = await galleria.stop()
  if (code !== 0) return [...faults, `it stopped with ${code}`]
  return [...faults, ...(await site.audit(shoppers.ledger))]
}

/** Asks these processes all the time whether they live; what was wrong with that, and what they logged as errors. */
const watch = (parts: Production["galleria"]["parts"]) => {
  const faults = new Set<string>()
  let isOver = false
  const look = async ({ name, galleria }: (typeof parts)[number]) => {
    const answer = await fetch(`${await galleria.url}/livez`, { signal: AbortSignal.timeout(7_000) }).catch(String)
    if (typeof answer === "string") faults.add(`/livez of ${name}: ${answer}`)
    else if (!answer.ok) faults.add(`/livez of ${name} was answered ${answer.status}: ${await answer.text()}`)
    else await answer.arrayBuffer()
  }
  const looking = (async () => {
    for (; !isOver; await seconds(1)) await Promise.all(parts.map(look))
  })()
  return {
    stop: async () => {
      isOver = true
      await looking
      const errors = parts.flatMap(({ name, galleria }) =>
        galleria.records.filter(({ level }) => level === "error").map(({ message }) => `${name} logged: ${message}`),
      )
      return [...faults, ...new Set(errors)]
    },
  }
}
