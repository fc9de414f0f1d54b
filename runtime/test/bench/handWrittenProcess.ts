import fastify from "fastify"
import type { AddressInfo } from "node:net"
import pg from "pg"
import { newOrder as body } from "./peer/newOrder.ts"

/**
 * What Galleria's orders are compared with: a handler as one writes it by hand, which keeps an order and its event in
 * one transaction, with Fastify's own validation and `pg`'s own pool. Sends its port. Its events are not relayed.
 */
const pool = new pg.Pool({
  connectionString: process.argv[2]!,
  options: "-c search_path=order -c jit=off",
  max: Number(process.argv[3]),
})
const app = fastify()

app.post<{ Body: { user_id: number; amount: string } }>("/orders", { schema: { body } }, async (request, reply) => {
  const { user_id, amount } = request.body
  const created_at = new Date()
  const client = await pool.connect()
  try {
    await client.query("BEGIN")
    const { rows } = await client.query({
      name: "order",
      text: `insert into orders (user_id, amount, status, items, payment_method, steps, created_at)
        values ($1, $2, 'created', '[]', 'card_ok', '[]', $3) returning id`,
      values: [user_id, amount, created_at],
    })
    const id = Number(rows[0].id)
    const data = { order_id: id, user_id, amount, items: [], payment_method: "card_ok", steps: [], created_at }
    await client.query({
      name: "event",
      text: `insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
        values ($1, 'order_created', 1, $2, $3, $4, null, $5)`,
      values: [crypto.randomUUID(), `${user_id}`, `${id}`, created_at, JSON.stringify(data)],
    })
    await client.query("COMMIT")
    void reply.code(201).header("location", `/orders/${id}`)
    return { id, user_id, amount, status: "created", processed: false, items: [], created_at }
  } catch (error) {
    await client.query("ROLLBACK")
    throw error
  } finally {
    client.release()
  }
})

await app.listen({ host: "127.0.0.1", port: 0 })
process.send!((app.server.address() as AddressInfo).port)
process.on("disconnect", () => process.exit(0))
