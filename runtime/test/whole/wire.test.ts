import kafkajs from "kafkajs"
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { askKafka, clientOf } from "../harness/kafkaLog.ts"
import { canStartKafka, type Kafka, startKafka } from "../harness/kafka.ts"
import { runWith } from "../harness/kafkaBroker.ts"
import { type Galleria, start, temporaryFolder, until } from "../harness/process.ts"

type Page<Item> = { readonly items: ReadonlyArray<Item> }

interface DeadLetter {
  readonly module: string
  readonly reaction: string
  readonly status: string
  readonly event: { readonly key: string | null; readonly source: string }
}

const user = { email: "ada@example.org", name: "Ada" }

const orderCreated = (order: number, fields: object = {}) => ({
  order_id: order,
  user_id: 1,
  amount: "10.50",
  items: [],
  payment_method: "card",
  steps: [],
  created_at: "2026-01-02T03:04:05.000Z",
  ...fields,
})

const headersOf = (id: string) => ({
  ce_specversion: "1.0",
  ce_id: id,
  ce_source: "/elsewhere",
  ce_type: "order_created",
  ce_time: "2026-01-02T03:04:05Z",
})

/** A line for Java's console producer, with these signs between its parts: none of JSON has them. */
const reading = [
  "parse.headers=true",
  "parse.key=true",
  "headers.key.separator==",
  "headers.separator=;",
  "null.marker=NULL",
].flatMap((property) => ["--property", property])

const line = (entry: { headers?: Readonly<Record<string, string>>; key?: string; value: string }) => {
  const headers = Object.entries(entry.headers ?? {}).map(([name, text]) => `${name}=${text}`)
  return [headers.length === 0 ? "NULL" : headers.join(";"), entry.key ?? "NULL", entry.value].join("\t")
}

const hasPython = spawnSync("python3", ["--version"]).status === 0
if (!hasPython && process.env["CI"] === "true") throw new Error("no python3 for the tests that need it")
if (!hasPython) process.stderr.write("\n!!! NOT TESTED WITH PYTHON: there is no python3 here\n\n")

if (await canStartKafka()) {
  let kafka: Kafka
  beforeAll(async () => {
    kafka = await startKafka()
  })
  afterAll(() => kafka.close())

  describe("Compressed batches", () => {
    it("are read in every codec, of Java's producer and of our own client", async () => {
      const topic = `topic-${randomUUID()}`
      await askKafka(kafka.bootstrap, (admin) => admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }))
      const { GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes
      const codecs = Object.entries({ gzip: GZIP, snappy: Snappy, lz4: LZ4, zstd: ZSTD })
      const expected: Array<string> = []
      for (const [codec] of codecs) {
        const lines = Array.from({ length: 50 }, (_, n) => `java ${codec} ${n} ${"x".repeat(100)}`)
        await kafka.console("producer", ["--topic", topic, "--compression-codec", codec], `${lines.join("\n")}\n`)
        expected.push(...lines)
      }
      const producer = clientOf(kafka.bootstrap).producer()
      await producer.connect()
      for (const [codec, compression] of codecs) {
        const values = Array.from({ length: 50 }, (_, n) => `client ${codec} ${n} ${"x".repeat(100)}`)
        await producer.send({ topic, compression, messages: values.map((value) => ({ value })) })
        expected.push(...values)
      }
      await producer.disconnect()
      const consumer = clientOf(kafka.bootstrap).consumer({ groupId: randomUUID() })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      const got: Array<string> = []
      await consumer.run({ eachMessage: async ({ message }) => void got.push(String(message.value)) })
      await until("all is read", () => got.length >= expected.length)
      await consumer.disconnect()
      expect(got).toEqual(expected)
      const all = ["--from-beginning", "--max-messages", String(expected.length)]
      expect(await kafka.console("consumer", ["--topic", topic, ...all])).toBe(`${expected.join("\n")}\n`)
    })
  })

  describe("Events on the wire", () => {
    const folder = temporaryFolder()
    let galleria: Galleria
    beforeAll(async () => {
      galleria = await start({
        dataDir: folder.path,
        modules: ["user", "order"],
        env: { KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap, ORDER_STEPS: "none", USER_WAIT_MS: "60000" },
      })
      await galleria.call("POST", "/users", user)
    })
    afterAll(async () => {
      await galleria.stop("SIGKILL")
      folder[Symbol.dispose]()
    })

    const get = async <Body>(path: string) => (await galleria.call<Body>("GET", path)).body
    const ordersOf = async (user: number) => {
      const { items } = await get<Page<{ order_id: number; amount: string }>>(`/users/${user}/orders?limit=200`)
      return items.map(({ order_id, amount }) => `${order_id}: ${amount}`)
    }
    const deadLetters = async () => (await get<Page<DeadLetter>>("/admin/dead-letters?limit=200")).items
    const sees = (...orders: ReadonlyArray<number>) =>
      until(`the user sees ${orders.join()}`, async () => {
        const seen = await ordersOf(1)
        return orders.every((order) => seen.includes(`${order}: 10.50`))
      })

    it("are CloudEvents in binary mode, which Java's console reads: headers, key, and the data alone", async () => {
      const { status } = await galleria.call("POST", "/orders", { user_id: 1, amount: "100.50" })
      expect(status).toBe(201)
      const printed = ["print.headers=true", "print.key=true", "key.separator=\t", "headers.separator=;"]
      const text = await kafka.console("consumer", [
        "--include",
        "user_created|order_created",
        "--from-beginning",
        "--max-messages",
        "2",
        ...printed.flatMap((property) => ["--property", property]),
      ])
      const records = text
        .trimEnd()
        .split("\n")
        .map((printed) => {
          const [headers, key, value] = printed.split("\t") as [string, string, string]
          return { headers: headers.split(";").map((one) => one.split(/:(.*)/u).slice(0, 2)), key, value }
        })
      const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u
      const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u)
      const headers = (module: string, type: string, subject: string) => [
        ["ce_specversion", "1.0"],
        ["ce_id", expect.stringMatching(uuid7)],
        ["ce_source", `/galleria/${module}`],
        ["ce_type", type],
        ["ce_subject", subject],
        ["ce_time", time],
        ["ce_dataschema", `/schemas/${type}/1`],
        ["content-type", "application/json"],
        ["traceparent", expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/u)],
      ]
      const byType = (type: string) => records.find(({ headers }) => headers[3]![1] === type)
      expect(byType("user_created")).toMatchObject({ key: "1", headers: headers("user", "user_created", "1") })
      expect(byType("order_created")).toMatchObject({ key: "1", headers: headers("order", "order_created", "1") })
      const data = Object.fromEntries(records.map(({ headers, value }) => [headers[3]![1], JSON.parse(value)]))
      expect(data).toEqual({
        user_created: { user_id: 1, ...user, created_at: time },
        order_created: orderCreated(1, { amount: "100.50", created_at: time, payment_method: expect.any(String) }),
      })
    })

    it("are taken of Java's console in binary and structured mode, and as bare JSON without a key", async () => {
      const structured = {
        specversion: "1.0",
        id: randomUUID(),
        source: "/elsewhere",
        type: "order_created",
        data: orderCreated(2002),
      }
      const lines = [
        line({ headers: headersOf(randomUUID()), key: "1", value: JSON.stringify(orderCreated(2001)) }),
        line({
          headers: { "content-type": "application/cloudevents+json; charset=UTF-8" },
          key: "1",
          value: JSON.stringify(structured),
        }),
        line({ value: JSON.stringify(orderCreated(2003)) }),
      ]
      await kafka.console("producer", ["--topic", "order_created", ...reading], `${lines.join("\n")}\n`)
      await sees(2001, 2002, 2003)
      expect((await deadLetters()).filter(({ module }) => module === "user")).toEqual([])
    })

    it("are skipped and counted without a value, parked when they cannot be read, and hold the order that is in their data, under the user's key", async () => {
      const before = (await deadLetters()).length
      const lines = [
        line({ key: "1", value: "NULL" }),
        line({ key: "1", value: "no JSON" }),
        line({ value: JSON.stringify(orderCreated(2004, { user_id: 77, amount: "much" })) }),
      ]
      await kafka.console("producer", ["--topic", "order_created", ...reading], `${lines.join("\n")}\n`)
      await until("all that fails is entered", async () => (await deadLetters()).length >= before + 4)
      const all = await deadLetters()
      const entered = all.slice(0, all.length - before)
      const shown = entered
        .map(({ module, reaction, status, event }) => [module, reaction, status, event.key ?? "", event.source].join())
        .toSorted()
      const source = "/foreign/order_created"
      expect(shown).toEqual(
        [
          `order,*,parked,1,${source}`,
          `user,*,parked,1,${source}`,
          `order,order.start,retrying,77,${source}`,
          `user,user.record-order,retrying,77,${source}`,
        ].toSorted(),
      )
      const metrics = await (await fetch(`${await galleria.url}/metrics`)).text()
      for (const module of ["user", "order"]) {
        expect(metrics).toContain(`\ngalleria_records_skipped_total{module="${module}",topic="order_created"} 1\n`)
      }
    })

    if (hasPython) {
      it("are taken of a producer in Python, which shares nothing with ours but the protocol", async () => {
        const json = "application/json"
        const entries = [
          { key: "1", value: JSON.stringify(orderCreated(3001)), headers: Object.entries(headersOf(randomUUID())) },
          { key: null, value: JSON.stringify(orderCreated(3002)), headers: [["Content-Type", json]] },
          // Kafka knows headers without a value, and names that are there twice.
          {
            key: "1",
            value: JSON.stringify(orderCreated(3003)),
            headers: [
              ["note", null],
              ["note", "žluťoučký"],
            ],
          },
          {
            key: "1",
            value: JSON.stringify(orderCreated(3004)),
            headers: [
              ["note", "once"],
              ["note", null],
            ],
          },
        ]
        const program = new URL("../harness/produce.py", import.meta.url).pathname
        const input = entries.map((entry) => `${JSON.stringify(entry)}\n`).join("")
        expect(await runWith(input, "python3", [program, kafka.bootstrap, "order_created", "6"])).toBe("4\n")
        await sees(3001, 3002, 3003, 3004)
      })
    }
  })
}
