import kafkajs from "kafkajs"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Order } from "../../../modules/order/contract/api.ts"
import { canStartKafka } from "../harness/kafka.ts"
import { askKafka, clientOf, membersOf } from "../harness/kafkaLog.ts"
import { start, temporaryFolder, until } from "../harness/process.ts"
import { spine } from "../harness/spine.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import {
  belongings,
  brokerOutages,
  frozen,
  makeWorld,
  processorSeconds,
  recovered,
  suffer,
  type World,
} from "./outages.ts"

interface Readiness {
  readonly state: string
  readonly checks: Readonly<Record<string, string>>
}

/** Short ones: `npm run chaos -- --outages 20` has all, and makes them long. */
const outages = [...brokerOutages(6), frozen("order")]

/** Loops that turn without the broker. */
const independent = ["records", "retry", "housekeeping", "positions", "replay"]

describe.runIf(await canStartKafka())("Two modules over Kafka", { timeout: 240_000 }, () => {
  let world: World
  let before: ReturnType<typeof belongings>

  beforeAll(async () => {
    world = await makeWorld(Date.now() % 1_000_000)
    expect(await recovered(world)).toEqual([])
  })
  afterAll(() => world.site[Symbol.asyncDispose]())

  it("start and take orders while the broker is away, say so, keep calm, and deliver once it comes", async () => {
    const { site, shoppers } = world
    await world.galleria.stop()
    await site.kafka.stop()
    world.galleria = site.launch()
    const { galleria } = world
    await Promise.all(galleria.parts.map((part) => part.galleria.url))
    const began = Date.now()
    const readiness = () => galleria.each<Readiness>("GET", "/readyz")
    for (const { status, body } of await readiness()) expect([status, body.state]).toEqual([503, "starting"])
    await shoppers.shop(galleria, () => Date.now() - began > 2_000, { cutOff: true, pace: 60 })

    await until("they serve without the broker", async () => (await readiness()).every(({ status }) => status === 200))
    expect(Date.now() - began).toBeLessThan(25_000)
    for (const [n, { body }] of (await readiness()).entries()) {
      const [module] = galleria.parts[n]!.modules
      expect(body).toEqual({
        state: "degraded",
        checks: {
          events: expect.stringMatching(/^the event log failed to /u),
          [`database.${module}`]: "ok",
          [`consumer.${module}`]: expect.stringMatching(/\w/u),
          [`relay.${module}`]: expect.stringMatching(/^(?:ok|the event log failed to )/u),
          ...Object.fromEntries(independent.map((loop) => [`${loop}.${module}`, "ok"])),
        },
      })
    }
    const used = galleria.parts.map((part) => processorSeconds(part.galleria.pid))
    await sleep(3_000)
    for (const [n, part] of galleria.parts.entries()) {
      expect(processorSeconds(part.galleria.pid) - used[n]!).toBeLessThan(1)
    }
    await site.kafka.start()
    expect(await recovered(world)).toEqual([])
  })

  describe("lose nothing, do nothing twice and blame no event for", () => {
    beforeAll(() => {
      before = belongings(world.galleria)
    })

    for (const outage of outages) {
      it(outage.name, async () => {
        const began = new Date().toISOString()
        expect(await suffer(world, outage)).toEqual([])
        const lines = world.galleria.records.filter(({ timestamp, level }) => timestamp >= began && level !== "info")
        expect(lines.filter(({ level }) => level !== "warn")).toEqual([])
        // A relay and a consumer log one warning each, and another one each time that the broker came back for a moment.
        const { returns = 1 } = outage
        expect(lines.length).toBeLessThanOrEqual(2 * (1 + returns) * world.galleria.parts.length)
      })
    }

    it("and hold no more memory and connections after all that", async () => {
      const connections = () => belongings(world.galleria).map(({ sockets }) => sockets)
      await until("connections are as before", () => connections().every((count, n) => count <= before[n]!.sockets + 2))
      for (const [n, { megabytes }] of belongings(world.galleria).entries()) {
        // What an embedded database takes up by and by is of that order.
        expect(megabytes - before[n]!.megabytes).toBeLessThan(300)
      }
    })

    it("and their databases and the log say the same", async () => {
      expect(await world.galleria.stop()).toEqual({ code: 0, signal: null })
      expect(await world.site.audit(world.shoppers.ledger)).toEqual([])
    })
  })

  it("leave their groups when they stop, and stop in ten seconds where the broker does not answer", async () => {
    const { kafka } = world.site
    const membersOfAll = async () => {
      const groups = ["user", "order"].map((module) => membersOf(kafka.bootstrap, `${module}_service_group`))
      return (await Promise.all(groups)).flat().length
    }
    expect(await membersOfAll()).toBe(0)
    using folder = temporaryFolder()
    await using both = await start({
      modules: spine,
      dataDir: folder.path,
      env: { KAFKA_BOOTSTRAP_SERVERS: kafka.proxiedBootstrap },
    })
    expect(await membersOfAll()).toBe(2)
    await kafka.proxy.set({ blackHole: true })
    const elapsed = stopwatch()
    expect(await both.stop("SIGINT")).toEqual({ code: 0, signal: null })
    expect(elapsed().ownMillis).toBeLessThan(10_000)
    await kafka.proxy.set({})
  })

  it("do not start with another number of partitions than the topics have, also when the broker comes late", async () => {
    const { site } = world
    const ends = async (whileAway: boolean) => {
      if (whileAway) await site.kafka.stop()
      await using galleria = site.launch({ env: { PARTITIONS: "7" } })
      if (whileAway) {
        await Promise.all(galleria.parts.map((part) => part.galleria.url))
        await site.kafka.start()
      }
      for (const part of galleria.parts) {
        expect(await part.galleria.exit, part.galleria.output()).toEqual({ code: 1, signal: null })
        expect(part.galleria.errors()).toMatch(/^topic \w+ has 6 partitions, not 7: the number must not change/u)
      }
    }
    await ends(false)
    await ends(true)
  })

  it("understand batches in every codec of Kafka", async () => {
    const { site } = world
    await using galleria = await site.start({ env: { ORDER_STEPS: "payment" } })
    const { body: user } = await galleria.call<{ id: number }>("POST", "/users", { email: "c@example.org", name: "C" })
    const producer = clientOf(site.kafka.bootstrap).producer()
    await producer.connect()
    const { GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes
    for (const compression of [GZIP, Snappy, LZ4, ZSTD]) {
      const { body } = await galleria.call<typeof Order.Encoded>("POST", "/orders", { user_id: user.id, amount: "5" })
      const { id, user_id, amount } = body
      const value = JSON.stringify({ payment_id: id, order_id: id, user_id, amount })
      await producer.send({ topic: "payment_successful", compression, messages: [{ key: String(user_id), value }] })
      await until(`it is paid in codec ${compression}`, async () => {
        const answer = await galleria.call<typeof Order.Encoded>("GET", `/orders/${id}`)
        return answer.body.status === "processed"
      })
    }
    await producer.disconnect()
    expect(await galleria.stop()).toEqual({ code: 0, signal: null })
  })

  it("go on when a topic gets more partitions, or is deleted and made again", async () => {
    const { site, shoppers } = world
    world.galleria = await site.start()
    const shopFor = async (millis: number, lost?: string) => {
      const began = Date.now()
      await shoppers.shop(world.galleria, () => Date.now() - began > millis, { pace: 20 })
      expect(await recovered(world, lost)).toEqual([])
    }
    await shopFor(1_000)
    await askKafka(site.kafka.bootstrap, (admin) =>
      admin.createPartitions({ topicPartitions: [{ topic: "order_created", count: 9 }] }),
    )
    await shopFor(3_000)
    await askKafka(site.kafka.bootstrap, (admin) => admin.deleteTopics({ topics: ["order_processed"] }))
    // A topic that is longer than the old one before a consumer looks at it cannot be distinguished from the old one.
    await shoppers.welcome(world.galleria, 1)
    await until("the loss is reported of all its partitions, also of those without a new record", () => {
      const lost = world.galleria.records.filter(({ message }) => message.startsWith("Records are lost"))
      const found = lost.flatMap(({ message }) => /order_processed\/\d+/u.exec(message) ?? [])
      return new Set(found).size === 6
    })
    await shopFor(3_000, "order_processed")
  })
})
