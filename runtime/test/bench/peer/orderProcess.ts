import { newOrder as body } from "./newOrder.ts"
import { emit, serve } from "./service.ts"

const byId = { type: "object", properties: { id: { type: "integer", minimum: 1 } } } as const

/** Orders of users that are known here by `user_created`. */
await serve({
  name: "order",
  tables: `
    create table known_users (id bigint primary key);
    create table orders (id bigint generated always as identity primary key, user_id bigint not null,
      amount numeric(12, 2) not null, status text not null, created_at timestamptz not null);
    create index on orders (user_id, id)`,
  sends: "peer_order_created",
  reads: "peer_user_created",
  react: (client, { user_id }) =>
    client.query({ name: "known_user", text: "insert into known_users (id) values ($1)", values: [user_id] }),
  routes: ({ app, transaction, pool }) => {
    app.post<{ Body: { user_id: number; amount: string } }>("/orders", { schema: { body } }, async (request, reply) => {
      const { user_id, amount } = request.body
      const created_at = new Date()
      const order = await transaction(async (client) => {
        const known = await client.query({
          name: "knows",
          text: "select 1 from known_users where id = $1",
          values: [user_id],
        })
        if (known.rowCount === 0) return undefined
        const { rows } = await client.query({
          name: "order",
          text: `insert into orders (user_id, amount, status, created_at) values ($1, $2, 'created', $3) returning id`,
          values: [user_id, amount, created_at],
        })
        const id = Number(rows[0].id)
        const data = { order_id: id, user_id, amount, created_at }
        await emit(client, { id: crypto.randomUUID(), key: `${user_id}`, data })
        return { id, user_id, amount, status: "created", created_at }
      })
      if (order === undefined) return reply.code(404).send({ message: `There is no user ${user_id}` })
      void reply.code(201).header("location", `/orders/${order.id}`)
      return order
    })
    app.get<{ Params: { id: number } }>(
      "/orders/:id",
      { schema: { params: byId } },
      async ({ params: { id } }, reply) => {
        const { rows } = await pool.query({
          name: "order_of",
          text: "select id::int, user_id::int, amount, status, created_at from orders where id = $1",
          values: [id],
        })
        return rows[0] ?? reply.code(404).send({ message: `There is no order ${id}` })
      },
    )
  },
})
