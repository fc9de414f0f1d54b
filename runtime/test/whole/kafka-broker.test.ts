import { Kafka as Client, logLevel } from "kafkajs"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { readdirSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import {
  bootstrapAt,
  canStartKafka,
  type Kafka,
  offerKafka,
  producesRecords,
  realKafka,
  startKafka,
} from "../harness/kafka.ts"
import { temporaryFolder, until } from "../harness/process.ts"

const clientOf = (bootstrap: string) =>
  new Client({
    brokers: [bootstrap],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1_000,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 50 },
  })

/** What `use` does with a producer, an admin … that is connected for it. */
const connected = async <C extends { connect(): Promise<void>; disconnect(): Promise<void> }, A>(
  client: C,
  use: (client: C) => Promise<A>,
) => {
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.disconnect()
  }
}

/** A topic of one partition. */
const createTopic = async (bootstrap: string) => {
  const topic = `topic-${randomUUID()}`
  const topics = [{ topic, numPartitions: 1 }]
  await connected(clientOf(bootstrap).admin(), (admin) => admin.createTopics({ topics, waitForLeaders: false }))
  return topic
}

const send = (client: Client, topic: string, ...values: ReadonlyArray<string>) =>
  connected(client.producer(), (producer) =>
    producer.send({
      topic,
      messages: values.map((value) => ({ key: "key", value, headers: { length: `${value.length}` } })),
    }),
  )

/** All that is on the log, as `key=value (header)`. */
const logOf = async (bootstrap: string, topic: string) => {
  const client = clientOf(bootstrap)
  const [end] = await connected(client.admin(), (admin) => admin.fetchTopicOffsets(topic))
  const log: Array<string> = []
  await connected(client.consumer({ groupId: randomUUID(), maxWaitTimeInMs: 100 }), async (consumer) => {
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ message: { key, value, headers } }) =>
        void log.push(`${String(key)}=${String(value)} (${String(headers?.["length"])})`),
    })
    await until("the log was read", () => log.length === Number(end!.high))
  })
  return log
}

const portOf = (bootstrap: string) => Number(bootstrap.split(":")[1])

/** Whether a process listens there, even a frozen one. */
const listens = async (bootstrap: string) => {
  const socket = connect({ port: portOf(bootstrap), host: "127.0.0.1" })
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

if (await canStartKafka()) {
  describe("startKafka", () => {
    let kafka: Kafka
    beforeAll(async () => {
      kafka = await startKafka()
    })
    afterAll(() => kafka.close())

    it("gives a broker that takes records and gives them, whole", async () => {
      const topic = await createTopic(kafka.bootstrap)
      await send(clientOf(kafka.bootstrap), topic, "one", "three")
      expect(await logOf(kafka.bootstrap, topic)).toEqual(["key=one (3)", "key=three (5)"])
    })

    it("gives a client only the address of the listener that it used", async () => {
      const brokersAt = (bootstrap: string) =>
        connected(clientOf(bootstrap).admin(), async (admin) => (await admin.describeCluster()).brokers)
      const broker = { nodeId: 1, host: "127.0.0.1" }
      expect(await brokersAt(kafka.bootstrap)).toEqual([{ ...broker, port: portOf(kafka.bootstrap) }])
      expect(await brokersAt(kafka.proxiedBootstrap)).toEqual([{ ...broker, port: kafka.proxy.port }])
    })

    it("loses, by its proxy, the answer to a write that it has kept", async () => {
      const topic = await createTopic(kafka.bootstrap)
      kafka.proxy.loseAnswers(1, producesRecords)
      await send(clientOf(kafka.proxiedBootstrap), topic, "again")
      expect(kafka.proxy.counts().answersLost).toBe(1)
      expect(await logOf(kafka.bootstrap, topic)).toEqual(["key=again (5)", "key=again (5)"])
    })

    it("runs Kafka's own console", async () => {
      const topic = await createTopic(kafka.bootstrap)
      const keyed = ["--property", "parse.key=true", "--property", "key.separator=:"]
      await kafka.console("producer", ["--topic", topic, ...keyed], "a:one\nb:two\n")
      const all = ["--from-beginning", "--max-messages", "2", "--property", "print.key=true"]
      expect(await kafka.console("consumer", ["--topic", topic, ...all])).toBe("a\tone\nb\ttwo\n")
      await expect(kafka.console("producer", ["--no-such-option"])).rejects.toThrow("no-such-option is not a recog")
    })

    it("answers no request while it is paused, and continues when it is resumed", async () => {
      const topic = await createTopic(kafka.bootstrap)
      await connected(clientOf(kafka.proxiedBootstrap).producer(), async (producer) => {
        const sendOne = (value: string) => producer.send({ topic, messages: [{ value }] })
        await sendOne("before")
        await kafka.pause()
        const { bytesSent, bytesAnswered } = kafka.proxy.counts()
        const sending = sendOne("meanwhile")
        try {
          await until("the request is on its way", () => kafka.proxy.counts().bytesSent > bytesSent)
          // An answer takes milliseconds otherwise.
          await sleep(500)
          expect(kafka.proxy.counts().bytesAnswered).toBe(bytesAnswered)
          expect(await listens(kafka.bootstrap)).toBe(true)
        } finally {
          await kafka.resume()
          await sending
        }
      })
      expect(await logOf(kafka.bootstrap, topic)).toHaveLength(2)
    })

    it.each(["stop", "kill"] as const)("keeps its port and its records over %s and start", async (end) => {
      const topic = await createTopic(kafka.bootstrap)
      await send(clientOf(kafka.bootstrap), topic, "before")
      await kafka[end]()
      expect(await listens(kafka.bootstrap)).toBe(false)
      await kafka.start()
      expect(await listens(kafka.bootstrap)).toBe(true)
      await send(clientOf(kafka.bootstrap), topic, "after")
      expect(await logOf(kafka.bootstrap, topic)).toEqual(["key=before (6)", "key=after (5)"])
    })

    it.each(["stop", "kill"] as const)("can %s when it is paused", async (end) => {
      await kafka.pause()
      await kafka[end]()
      expect(await listens(kafka.bootstrap)).toBe(false)
      await kafka.start()
    })

    it("takes settings of the broker", async () => {
      await using own = await startKafka({ properties: { "message.max.bytes": 1_000 }, optimized: true })
      const topic = await createTopic(own.bootstrap)
      await expect(send(clientOf(own.bootstrap), topic, "x".repeat(2_000))).rejects.toMatchObject({
        type: "MESSAGE_TOO_LARGE",
      })
    })

    it("takes the size of the heap", async () => {
      await expect(startKafka({ megabytes: 1 })).rejects.toThrow("Too small maximum heap")
    })

    it("says in what the broker logged why it does not start", async () => {
      await expect(startKafka({ properties: { "log.retention.hours": "soon" } })).rejects.toThrow(
        /Invalid value soon for configuration log.retention.hours/u,
      )
    })

    it("leaves nothing when it is closed, once or twice", async () => {
      const own = await startKafka()
      await own.close()
      await own.close()
      expect(await Promise.all([own.bootstrap, own.proxiedBootstrap].map(listens))).toEqual([false, false])
    })

    it.each(["resume", "pause"] as const)("leaves nothing after %s and kill -9 of who started it", async (state) => {
      using folder = temporaryFolder()
      const script = `
        const { startKafka } = await import(${JSON.stringify(new URL("../harness/kafka.ts", import.meta.url))})
        const kafka = await startKafka()
        await kafka.${state}()
        console.log(kafka.bootstrap)`
      const starter = spawn(process.execPath, ["--input-type=module", "-e", script], {
        env: { ...process.env, TMPDIR: folder.path },
        stdio: ["ignore", "pipe", "inherit"],
      })
      const [line] = await once(starter.stdout, "data")
      const bootstrap = String(line).trim()
      expect(await listens(bootstrap)).toBe(true)
      starter.kill("SIGKILL")
      await until("the port is closed", async () => !(await listens(bootstrap)))
      await until("its data are removed", () => readdirSync(folder.path).length === 0)
    })
  })
}

describe("realKafka", () => {
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
  })

  it("is one broker for all who ask", async () => {
    const [one, other] = await Promise.all([realKafka(), realKafka()])
    expect(one).toBe(other)
    if (one !== undefined) expect(await listens(one)).toBe(true)
  })

  it("is the one of the environment, if that has one", async () => {
    vi.stubEnv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    expect(await realKafka()).toBe("kafka.example:9092")
  })

  it("is undefined where none can be had, which one line says, and an error in CI", async () => {
    using folder = temporaryFolder()
    for (const name of ["PATH", "JAVA_HOME"]) vi.stubEnv(name, "")
    const said = vi.spyOn(process.stderr, "write").mockReturnValue(true)
    const socket = join(folder.path, "kafka.sock")
    const close = await offerKafka(socket)
    vi.stubEnv("CI", "")
    expect(await Promise.all([bootstrapAt(socket), bootstrapAt(socket)])).toEqual([undefined, undefined])
    expect(said.mock.calls).toEqual([
      [expect.stringMatching(/^\n!!! NOT TESTED ON KAFKA: .*no Docker.*no Java.*\n\n$/u)],
    ])
    vi.stubEnv("CI", "true")
    await expect(bootstrapAt(socket)).rejects.toThrow(/^no Kafka for the tests that need one: .*no Java/u)
    await close()
  })
})
