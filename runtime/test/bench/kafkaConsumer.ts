import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { EachBatchPayload } from "kafkajs"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { makeConsumer } from "../../delivery/consumer.ts"
import { define } from "../../events/Event.ts"
import { EventBus } from "../../events/EventBus.ts"
import { Loops } from "../../loop/loop.ts"
import { all, each, type Reaction } from "../../module/Reaction.ts"
import { Databases } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import type { Case, Finding } from "./Case.ts"
import { bareKafka, moduleName, overKafka, recordOf } from "./overKafka.ts"
import { median, spread } from "./statistics.ts"

const keys = 1_000
const rounds = 5
const partitions = 6

/** Events for those who take them by the batch, and for those who are slow. */
const topics = { many: { name: "happened", events: 60_000 }, few: { name: "happened_seldom", events: 6_000 } }
type Topic = (typeof topics)[keyof typeof topics]

const data = Schema.Struct({ n: Schema.Int, user_id: Schema.Int, text: Schema.String })
const eventOf = ({ name }: Topic) => define(name, { data, key: "user_id", subject: "n" })

type Applied = typeof data.Type

/** The ways to read a topic that are compared, and which one each reads. */
const ways = { nothing: topics.many, projection: topics.many, rows: topics.few, transactions: topics.few }
type Way = keyof typeof ways

interface Pace {
  readonly perSecond: number
  /** User and system time of this process for an event, in µs. */
  readonly cpuMicros: number
}
type Round = Readonly<Record<Way, Pace>>

/** Reads a topic with prepared records from the start, in a group that is new. */
export const kafkaConsumer: Case = {
  name: "kafka-consumer",
  run: async ({ say }) => findingsOf(await measure(say)),
}

const measure = (say: (line: string) => void) =>
  overKafka(({ bootstrap, url }) =>
    Effect.gen(function* () {
      const bus = yield* EventBus
      const loops = yield* Loops
      const ports = yield* Layer.build((yield* Databases).of(moduleName))
      const sql = Context.get(ports, SqlClient.SqlClient)
      yield* Effect.provideContext(migrate({}), ports)
      yield* sql`create table applied (n bigint primary key, user_id bigint not null, text text not null)`
      yield* sql`create index applied_by_user on applied (user_id, n)`
      for (const { name, events } of Object.values(topics)) {
        yield* bus.ensure([{ name, partitions, retention: undefined }])
        for (let from = 0; from < events; from += 500) {
          yield* bus.send(Array.from({ length: 500 }, (_, n) => recordOf(name, from + n, keys)))
        }
      }
      const pool = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new pg.Pool({ connectionString: url, options: `-c search_path=${moduleName} -c jit=off` }).on(
            "error",
            () => {},
          ),
        ),
        (pool) => Effect.promise(() => pool.end()),
      )
      const kafka = bareKafka(bootstrap)
      let groups = 0

      /** By the consumer of production. */
      const galleria = (topic: Topic, reaction: Reaction<never>) =>
        Effect.gen(function* () {
          const group = `group_${++groups}`
          const consumer = yield* Effect.provideContext(
            makeConsumer({ module: moduleName, reactions: [reaction] }),
            ports,
          )
          const clock = clockOf(topic)
          yield* bus.consume({
            group,
            topics: [topic.name],
            handle: (records) =>
              Effect.suspend(() => {
                clock.start()
                return Effect.tap(consumer(records), () => Effect.sync(() => clock.add(records.length)))
              }),
          })
          while ((yield* loops.faultOf(`${group}.consumer`)) !== undefined) yield* Effect.sleep("2 millis")
          clock.start()
          return yield* Effect.promise(clock.pace)
        }).pipe(Effect.scoped)

      /** kafkajs used plainly, with offsets committed after each batch. */
      const byHand = (topic: Topic, take: (values: ReadonlyArray<Buffer>) => Promise<unknown>) =>
        Effect.promise(async () => {
          const clock = clockOf(topic)
          const consumer = kafka.consumer({ groupId: `group_${++groups}`, maxWaitTimeInMs: 500 })
          const eachBatch = async ({ batch, ...payload }: EachBatchPayload) => {
            clock.start()
            await take(batch.messages.map(({ value }) => value!))
            const { offset } = batch.messages.at(-1)!
            payload.resolveOffset(offset)
            const next = [{ partition: batch.partition, offset: String(Number(offset) + 1) }]
            await payload.commitOffsetsIfNecessary({ topics: [{ topic: topic.name, partitions: next }] })
            clock.add(batch.messages.length)
          }
          await consumer.connect()
          await consumer.subscribe({ topics: [topic.name], fromBeginning: true })
          const concurrency = { partitionsConsumedConcurrently: 3 }
          await consumer.run({ ...concurrency, autoCommit: false, eachBatchAutoResolve: false, eachBatch })
          clock.start()
          try {
            return await clock.pace()
          } finally {
            await consumer.disconnect()
          }
        })

      const insert = { into: "insert into applied (n, user_id, text)", again: "on conflict do nothing" }
      const projection = all({
        name: `${moduleName}.project`,
        event: eventOf(topics.many),
        handle: (events) => {
          const rows = JSON.stringify(events.map((event) => event.data))
          return Effect.asVoid(
            Effect.orDie(sql`${sql.literal(insert.into)} select n, user_id, text
              from json_to_recordset(${rows}::json) as x (n bigint, user_id bigint, text text) order by n`),
          )
        },
      })
      const rows = each({
        name: `${moduleName}.write`,
        event: eventOf(topics.few),
        handle: ({ data: { n, user_id, text } }) =>
          Effect.asVoid(Effect.orDie(sql`${sql.literal(insert.into)} values (${n}, ${user_id}, ${text})`)),
      })

      /** The inbox and the effect of one message, by the driver `pg`. */
      const inTransaction = async (value: Buffer) => {
        const { n, user_id, text } = JSON.parse(value.toString()) as Applied
        const client = await pool.connect()
        try {
          await client.query("BEGIN")
          const { rowCount } = await client.query({
            name: "inbox",
            text: "insert into inbox values ('by-hand', 'by-hand', $1, now()) on conflict do nothing",
            values: [`${n}`],
          })
          const values = [n, user_id, text]
          if (rowCount === 1) await client.query({ name: "apply", text: `${insert.into} values ($1, $2, $3)`, values })
          await client.query("COMMIT")
        } finally {
          client.release()
        }
      }
      const oneByOne = async (values: ReadonlyArray<Buffer>) => {
        for (const value of values) await inTransaction(value)
      }

      const run = (way: Way) =>
        Effect.gen(function* () {
          const topic = ways[way]
          if (way === "nothing") return yield* byHand(topic, async () => {})
          yield* sql`truncate inbox, applied`
          const pace = yield* way === "transactions"
            ? byHand(topic, oneByOne)
            : galleria(topic, way === "projection" ? projection : rows)
          const [found] = yield* sql<{ n: number }>`select count(*)::int as n from applied`
          if (found!.n !== topic.events) throw new Error(`${found!.n} events took effect, not ${topic.events}`)
          return pace
        })

      const found: Array<Round> = []
      for (let n = 0; n <= rounds; n++) {
        const round: Partial<Record<Way, Pace>> = {}
        const names = Object.keys(ways) as ReadonlyArray<Way>
        for (const way of n % 2 === 0 ? names : names.toReversed()) round[way] = yield* run(way)
        say(`round ${n}: ${names.map((way) => `${way} ${shown(round[way]!)}`).join(", ")}`)
        // The first is for warming up.
        if (n > 0) found.push(round as Round)
      }
      return found
    }),
  )

const shown = ({ perSecond, cpuMicros }: Pace) => `${perSecond.toFixed(0)}/s (${cpuMicros.toFixed(0)} µs)`

/** Counts from when a group has joined, or its first records arrive, until all were finished. */
const clockOf = ({ events }: Topic) => {
  const now = () => ({ millis: performance.now(), cpu: process.cpuUsage() })
  let from: ReturnType<typeof now> | undefined
  let to: typeof from
  let done = 0
  return {
    start: () => void (from ??= now()),
    add: (records: number) => {
      done += records
      if (done >= events) to ??= now()
    },
    pace: async (): Promise<Pace> => {
      while (to === undefined) await sleep(5)
      const used = to.cpu.user + to.cpu.system - from!.cpu.user - from!.cpu.system
      return { perSecond: (events * 1_000) / (to.millis - from!.millis), cpuMicros: used / events }
    },
  }
}

const findingsOf = (found: ReadonlyArray<Round>): ReadonlyArray<Finding> => {
  const at = (way: Way) => median(found.map((round) => round[way].perSecond))
  const cpuOf = (way: Way) => median(found.map((round) => round[way].cpuMicros)).toFixed(0)
  const compared = (way: Way, other: Way, least: number, names: readonly [string, string], how: string): Finding => {
    const ratios = found.map((round) => round[way].perSecond / round[other].perSecond)
    return {
      name: names[0],
      unit: "/s",
      value: at(way),
      baseline: { what: names[1], value: at(other) },
      ratio: median(ratios),
      bar: { of: "ratio", least },
      how: `${how}; medians of ${rounds} rounds, ratios ${spread(ratios, 2)}; ${cpuOf(way)} µs of CPU of this process for an event, against ${cpuOf(other)} µs`,
    }
  }
  const byHand = `a transaction a message: BEGIN, inbox, effect, COMMIT by the driver pg, each prepared, ${topics.few.events} events on three partitions at once`
  return [
    compared(
      "projection",
      "nothing",
      0.35,
      ["consumer with inbox, gate and a projection", "empty eachBatch of kafkajs"],
      `${topics.many.events} records with their headers on ${partitions} partitions, prepared; both commit their offsets after each batch, and count from when they have joined`,
    ),
    compared("projection", "transactions", 10, ["the same", "a transaction a message"], byHand),
    compared(
      "rows",
      "transactions",
      3,
      ["consumer with a reaction that writes row by row", "a transaction a message"],
      byHand,
    ),
  ]
}
