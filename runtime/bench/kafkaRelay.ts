import { Context, Effect, Layer } from "effect"
import kafkajs, { type Producer } from "kafkajs"
import { EventBus, type Outgoing } from "../events/EventBus.ts"
import { relayTurn } from "../outbox/relay.ts"
import { Database, Databases } from "../sql/Database.ts"
import { migrate } from "../sql/migrate.ts"
import type { Case } from "./Case.ts"
import { bareKafka, dataOf, overKafka, recordOf } from "./overKafka.ts"
import { median, spread } from "./statistics.ts"

const events = 50_000
const keys = 1_000
const rounds = 5
const batch = 1_000
const topic = "relayed"

const rateOf = (from: number) => (events * 1_000) / (performance.now() - from)

/** The same messages by kafkajs alone. */
const bare = async (producer: Producer, records: ReadonlyArray<Outgoing>) => {
  const from = performance.now()
  for (let n = 0; n < records.length; n += batch) {
    const messages = records
      .slice(n, n + batch)
      .map(({ key, value, headers }) => ({ key, value: value as Buffer, headers }))
    await producer.send({ topic, acks: -1, messages })
  }
  return rateOf(from)
}

/** A backlog in the outbox, and how fast it gets to Kafka. */
export const kafkaRelay: Case = {
  name: "kafka-relay",
  run: async ({ say }) => {
    const found = await overKafka((bootstrap) =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const ports = yield* Layer.build((yield* Databases).of("bench"))
        yield* Effect.provideContext(migrate({}), ports)
        const sql = yield* Context.get(ports, Database).exclusive
        yield* bus.ensure([{ name: topic, partitions: 6, retention: undefined }])
        const producer = yield* Effect.acquireRelease(
          Effect.promise(async () => {
            const producer = bareKafka(bootstrap).producer({
              createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
            })
            await producer.connect()
            return producer
          }),
          (producer) => Effect.promise(() => producer.disconnect()),
        )
        const records = Array.from({ length: events }, (_, n) => recordOf(topic, n, keys))

        const relay = Effect.gen(function* () {
          const rows = Array.from({ length: events }, (_, n) => ({ n, key: String(n % keys), data: dataOf(n, keys) }))
          for (let n = 0; n < events; n += 5_000) {
            yield* sql`insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
              select '01a1ff33-374c-72ca-8922-' || lpad(n::text, 12, '0'), ${topic}, 1, key, n::text, now(),
                '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', data
              from json_to_recordset(${JSON.stringify(rows.slice(n, n + 5_000))}::json) as x (n int, key text, data text)`
          }
          const from = performance.now()
          while (yield* relayTurn(sql, bus, "/galleria/bench"));
          return rateOf(from)
        })

        const pairs: Array<{ readonly relay: number; readonly bare: number }> = []
        for (let round = 0; round <= rounds; round++) {
          const relayFirst = round % 2 === 0
          const before = relayFirst ? yield* relay : undefined
          const alone = yield* Effect.promise(() => bare(producer, records))
          const pair = { relay: before ?? (yield* relay), bare: alone }
          say(`round ${round}: ${pair.relay.toFixed(0)}/s, ${pair.bare.toFixed(0)}/s by kafkajs alone`)
          // The first is for warming up.
          if (round > 0) pairs.push(pair)
        }
        return pairs
      }),
    )
    const ratios = found.map((pair) => pair.relay / pair.bare)
    return [
      {
        name: `relay of a backlog of ${events} events to Kafka`,
        unit: "/s",
        value: median(found.map((pair) => pair.relay)),
        baseline: { what: "by kafkajs alone", value: median(found.map((pair) => pair.bare)) },
        ratio: median(ratios),
        bar: { of: "ratio", least: 0.8 },
        how: `turns of the relay until the outbox is empty, against kafkajs sending the same messages in batches of ${batch}, prepared before; medians of ${rounds} rounds, ratios ${spread(ratios, 2)}`,
      },
    ]
  },
}
