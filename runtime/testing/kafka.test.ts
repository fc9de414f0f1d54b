import { Kafka as Client, logLevel } from "kafkajs"
import { describe, expect, it } from "vitest"
import { startKafka } from "./kafka.ts"

describe("startKafka", () => {
  it("starts a broker that takes records, by its proxy too, and gives them", async () => {
    await using kafka = await startKafka()
    const client = new Client({ brokers: [kafka.proxiedBootstrap], logLevel: logLevel.NOTHING })
    const admin = client.admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic: "letters", numPartitions: 1 }] })
    await admin.disconnect()
    await kafka.console("producer", ["--topic", "letters"], "a\nb\n")
    const read = await kafka.console("consumer", ["--topic", "letters", "--from-beginning", "--max-messages", "2"])
    expect(read).toBe("a\nb\n")
    expect(kafka.proxy.counts().bytesAnswered).toBeGreaterThan(0)
  })
})
