import { Context, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import kafkajs, { type Producer } from "kafkajs"
import { EventBus, type Outgoing } from "../../events/EventBus.ts"
import { relayTurn } from "../../outbox/relay.ts"
import { Database, Databases } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import type { Case, Finding } from "./Case.ts"
import { bareKafka, dataOf, moduleName, overKafka, type Place, places, recordOf } from "./overKafka.ts"
import { median, spread } from "./statistics.ts"

const events = 50_000
const keys = 1_000
const rounds = 5
const batch = 1_000
const topic = "relayed"

const rateOf = (from: number) => (events * 1_000) / (performance.now() - from)

/** Puts that many events into the outbox of this client. */
export const fillOutbox = (sql: SqlClient.SqlClient, events: number, topic: string) =>
  Effect.gen(function* () {
    for (let from = 0; from < events; from += 5_000) {
      const rows = Array.from({ length: Math.min(5_000, events - from) }, (_, i) => {
        const n = from + i
        return { n, key: String(n % keys), data: dataOf(n, keys) }
      })
      yield* sql`insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
        select '01a1ff33-374c-72ca-8922-' || lpad(n::text, 12, '0'), ${topic}, 1, key, n::text, now(),
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', data
        from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, key text, data text)`
    }
  })

/** The client that relays, of a database that is migrated. */
export const relayingClient = Effect.gen(function* () {
  const ports = yield* Layer.build((yield* Databases).of(moduleName))
  yield* Effect.provideContext(migrate({}), ports)
  return yield* Context.get(ports, Database).exclusive
})

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

interface Pair {
  readonly relay: number
  readonly bare: number
}

/** A backlog in the outbox, and how fast it gets to Kafka. */
export const kafkaRelay: Case = {
  name: "kafka-relay",
  run: async ({ say }) => {
    const findings: Array<Finding> = []
    for (const place of places) findings.push(findingOf(place, await measure(place, say)))
    return findings
  },
}

const measure = (place: Place, say: (line: string) => void) =>
  overKafka(
    ({ bootstrap }) =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const sql = yield* relayingClient
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
          yield* fillOutbox(sql, events, topic)
          const turn = relayTurn(sql, bus, "/galleria/bench")
          const from = performance.now()
          while (yield* turn);
          return rateOf(from)
        })

        const pairs: Array<Pair> = []
        for (let round = 0; round <= rounds; round++) {
          const relayFirst = round % 2 === 0
          const before = relayFirst ? yield* relay : undefined
          const alone = yield* Effect.promise(() => bare(producer, records))
          const pair = { relay: before ?? (yield* relay), bare: alone }
          say(`${place}, round ${round}: ${pair.relay.toFixed(0)}/s, ${pair.bare.toFixed(0)}/s by kafkajs alone`)
          // The first is for warming up.
          if (round > 0) pairs.push(pair)
        }
        return pairs
      }),
    place,
  )

const names: Record<Place, string> = { postgres: "PostgreSQL", embedded: "the embedded database" }

const findingOf = (place: Place, found: ReadonlyArray<Pair>): Finding => {
  const ratios = found.map((pair) => pair.relay / pair.bare)
  return {
    name: `relay of a backlog of ${events} events from ${names[place]} to Kafka`,
    unit: "/s",
    value: median(found.map((pair) => pair.relay)),
    baseline: { what: "by kafkajs alone", value: median(found.map((pair) => pair.bare)) },
    ratio: median(ratios),
    ...(place === "postgres" ? { bar: { of: "ratio", least: 0.8 } as const } : {}),
    how: `turns of the relay until the outbox is empty, against kafkajs sending the same messages in batches of ${batch}, prepared before; medians of ${rounds} rounds, ratios ${spread(ratios, 2)}`,
  }
}
