import { readdirSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { pagesOf } from "../harness/audit.ts"
import { canStartKafka } from "../harness/kafka.ts"
import { canStartPostgres, connectTo } from "../harness/postgresServer.ts"
import { until } from "../harness/process.ts"
import { randomOf, type Wish } from "../harness/shoppers.ts"
import { recovered } from "./outages.ts"
import {
  ask,
  comeAndGo,
  databaseFaults,
  makeProduction,
  type Production,
  suffer,
  type TakeOver,
  takeOver,
  wishForOrder,
  wishForUser,
} from "./production.ts"

/** Another relays within this after the process that relayed is gone, or out of reach. */
const relaysWithin = 15_000

/** A group misses a member for 10 s, and then has to find together: at a busy machine too. */
const appliedWithin = 25_000

const logTakeOver = (fate: string, { relayedMillis, appliedMillis }: TakeOver) =>
  void process.stdout.write(
    `${fate}: relayed by another after ${relayedMillis} ms, applied after ${appliedMillis} ms\n`,
  )

const possible = (await canStartKafka()) && (await canStartPostgres())

describe.runIf(possible)("Two processes of each module on PostgreSQL and Kafka", { timeout: 300_000 }, () => {
  let world: Production
  const seed = Date.now() % 1_000_000

  beforeAll(async () => {
    world = await makeProduction(seed)
    expect(await recovered(world)).toEqual([])
  })
  afterAll(() => world[Symbol.asyncDispose]())

  const users = () => world.galleria.allOf("user")
  const orders = () => world.galleria.allOf("order")
  const signUp = async (email: string, [user] = users()) => (await ask(user!, wishForUser(world, email))).body.id

  it("start at once on empty databases, which one of them migrates", async () => {
    expect(world.galleria.records.filter(({ level }) => level !== "info" && level !== "warn")).toEqual([])
    for (const module of ["user", "order"]) {
      await using session = await connectTo(world.site.urlOf(module))
      const folders = {
        runtime_migrations: "runtime/sql/migrations",
        module_migrations: `modules/${module}/migrations`,
      }
      for (const [table, folder] of Object.entries(folders)) {
        const rows = await session.run<{ id: number }>(
          `select migration_id as id from "${module}".${table} order by created_at, migration_id`,
        )
        expect(rows.map(({ id }) => id)).toEqual(readdirSync(folder).map((_, n) => n + 1))
      }
    }
  })

  it("make one order of one idempotency key, also when both are asked at once", async () => {
    const user_id = await signUp("twice@example.org")
    const wishes = Array.from({ length: 20 }, (_, n) => wishForOrder(world, user_id, `BOTH-${n}`))
    const askBoth = (wish: Wish) => Promise.all(orders().map((order) => ask(order, wish)))
    const first = (await Promise.all(wishes.map(askBoth))).flat()
    for (const { status, body } of first) {
      if (status !== 201) expect([status, body]).toMatchObject([409, { type: "/problems/request-in-progress" }])
    }
    expect(first.filter(({ status }) => status === 201).length).toBeGreaterThanOrEqual(wishes.length)
    for (const wish of wishes) {
      const [one, other] = await askBoth(wish)
      expect([one!.status, one!.headers.get("idempotency-replayed")]).toEqual([201, "true"])
      expect(other!.body).toEqual(one!.body)
    }
    expect(await pagesOf(world.galleria, `/orders?user_id=${user_id}`)).toHaveLength(wishes.length)
  })

  it("go on with pages that the other began", async () => {
    const [one, other] = orders()
    const ids: Array<number> = []
    let cursor = ""
    for (let n = 0; ; n++) {
      const { status, body } = await [one!, other!][n % 2]!.call<{
        items: ReadonlyArray<{ id: number }>
        next_cursor: string | null
      }>("GET", `/orders?limit=7${cursor}`)
      expect(status).toBe(200)
      ids.push(...body.items.map(({ id }) => id))
      if (body.next_cursor === null) break
      cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`
    }
    const all = await pagesOf<{ id: number }>(one!, "/orders")
    expect(all.length).toBeGreaterThan(15)
    expect(ids).toEqual(all.map(({ id }) => id))
  })

  it("take an order at any of them right after its user came to any", async () => {
    for (const [n, user] of users().entries()) {
      for (const [m, order] of orders().entries()) {
        const user_id = await signUp(`soon-${n}-${m}@example.org`, [user])
        expect((await ask(order, wishForOrder(world, user_id, `SOON-${n}-${m}`))).status).toBe(201)
      }
    }
  })

  it("relay, in another's place, within seconds after that was killed", async () => {
    let found: TakeOver | undefined
    const faults = await suffer(
      world,
      async () => {
        found = await takeOver(world, ({ galleria }) => galleria.kill("SIGKILL"))
        world.galleria = await world.site.start()
      },
      { isHarmed: true },
    )
    logTakeOver("was killed", found!)
    expect(faults).toEqual([])
    expect(found!.to).not.toBe(found!.from)
    expect(found!.relayedMillis).toBeLessThan(relaysWithin)
    expect(found!.appliedMillis).toBeLessThan(appliedWithin)
  })

  it("relay, in another's place, when that is out of reach, and are not disturbed by it when it is back", async () => {
    let found: TakeOver | undefined
    const faults = await suffer(
      world,
      async () => {
        const { parts } = world.galleria
        found = await takeOver(world, ({ galleria }) => galleria.kill("SIGSTOP")).finally(() =>
          parts.forEach(({ galleria }) => galleria.kill("SIGCONT")),
        )
      },
      { isHarmed: true },
    )
    logTakeOver("was frozen", found!)
    expect(faults).toEqual([])
    expect(found!.to).not.toBe(found!.from)
    expect(found!.relayedMillis).toBeLessThan(relaysWithin)
    expect(found!.appliedMillis).toBeLessThan(appliedWithin)
  })

  it("come and go while users order, each second or two", async () => {
    const came = { faults: [] as ReadonlyArray<string> }
    const faults = await suffer(world, async () => void (came.faults = await comeAndGo(world, randomOf(seed), 12)), {
      isHarmed: true,
    })
    expect([...came.faults, ...faults]).toEqual([])
  })

  describe("lose nothing, do nothing twice and blame no event for", () => {
    for (const { name, happen } of databaseFaults(4)) {
      it(name, async () => {
        expect(await suffer(world, happen)).toEqual([])
      })
    }
  })

  it("start before their databases, and serve once those are there", async () => {
    const { site } = world
    await world.galleria.stop()
    await site.postgres.halt()
    world.galleria = site.launch()
    await until("they wait for their databases", () =>
      world.galleria.parts.every(({ galleria }) => /The start waits for the database/u.test(galleria.output())),
    )
    await site.postgres.resume()
    await world.galleria.ready()
    expect(await suffer(world, async () => {})).toEqual([])
  })

  it("and databases and log say the same", async () => {
    expect(await world.galleria.stop()).toEqual({ code: 0, signal: null })
    expect(await world.site.audit(world.shoppers.ledger)).toEqual([])
  })
})
