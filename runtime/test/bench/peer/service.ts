import fastify, { type FastifyInstance } from "fastify"
import kafkajs from "kafkajs"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"

/**
 * What the two services of the hand-written peer share: a pool, an outbox with a relay that polls, and a consumer with an
 * inbox. It is what an engineer writes with Fastify, pg and kafkajs who knows these patterns. `npm run bench -- by-hand`
 * compares Galleria with it.
 */
export interface Service {
  readonly app: FastifyInstance
  /** Runs the work in one transaction. */
  readonly transaction: <A>(work: (client: pg.PoolClient) => Promise<A>) => Promise<A>
  readonly pool: pg.Pool
}

/** An event as it stands in the outbox and in the value of a record. */
export interface Event {
  readonly id: string
  readonly key: string
  readonly data: unknown
}

export interface Options {
  readonly name: string
  /** The statements that make the service's tables. */
  readonly tables: string
  /** The topic of the service's own events. */
  readonly sends: string
  /** The topic that it consumes, and what an event does, in the transaction of its inbox row. */
  readonly reads: string
  readonly react: (client: pg.PoolClient, data: any) => Promise<unknown>
  readonly routes: (service: Service) => void
}

const most = 100
const pollMillis = 20
const partitions = 6

/** Starts a service on the PostgreSQL and the Kafka of its arguments, and sends its port to the parent process. */
export const serve = async ({ name, tables, sends, reads, react, routes }: Options): Promise<void> => {
  const [url, bootstrap] = process.argv.slice(2)
  const pool = new pg.Pool({ connectionString: url!, options: "-c jit=off", max: 16 })
  const transaction: Service["transaction"] = async (work) => {
    const client = await pool.connect()
    try {
      await client.query("BEGIN")
      const result = await work(client)
      await client.query("COMMIT")
      return result
    } catch (error) {
      await client.query("ROLLBACK")
      throw error
    } finally {
      client.release()
    }
  }
  await pool.query(`${tables};
    create table outbox (seq bigint generated always as identity primary key, id text not null, key text not null, data text not null);
    create table inbox (id text primary key)`)

  const kafka = new kafkajs.Kafka({ brokers: [bootstrap!], logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [sends, reads].map((topic) => ({ topic, numPartitions: partitions })) })
  await admin.disconnect()

  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  const relay = async () => {
    for (;;) {
      const { rows } = await pool.query({
        name: "relay",
        text: "select seq, id, key, data from outbox order by seq limit $1",
        values: [most],
      })
      if (rows.length > 0) {
        const messages = rows.map(({ id, key, data }) => ({ key, value: data, headers: { id, type: sends } }))
        await producer.send({ topic: sends, acks: -1, messages })
        await pool.query({
          name: "relayed",
          text: "delete from outbox where seq = any($1::bigint[])",
          values: [rows.map(({ seq }) => seq)],
        })
      }
      if (rows.length < most) await sleep(pollMillis)
    }
  }

  const consumer = kafka.consumer({ groupId: `peer_${name}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [reads], fromBeginning: true })
  await consumer.run({
    partitionsConsumedConcurrently: partitions,
    eachMessage: async ({ message }) => {
      const id = String(message.headers!["id"])
      await transaction(async (client) => {
        const { rowCount } = await client.query({
          name: "inbox",
          text: "insert into inbox (id) values ($1) on conflict do nothing",
          values: [id],
        })
        if (rowCount === 1) await react(client, JSON.parse(String(message.value)))
      })
    },
  })

  const app = fastify()
  routes({ app, transaction, pool })
  await app.listen({ host: "127.0.0.1", port: 0 })
  process.on("disconnect", () => process.exit(0))
  process.send!((app.server.address() as AddressInfo).port)
  await relay()
}

/** Writes an event to the outbox, in the transaction of what it is about. */
export const emit = (client: pg.PoolClient, { id, key, data }: Event) =>
  client.query({
    name: "emit",
    text: "insert into outbox (id, key, data) values ($1, $2, $3)",
    values: [id, key, JSON.stringify(data)],
  })
