import { emit, serve } from "./service.ts"

const body = {
  type: "object",
  required: ["email", "name"],
  properties: {
    email: { type: "string", maxLength: 254, pattern: String.raw`^[^@\s]+@[^@\s]+$` },
    name: { type: "string", minLength: 1, maxLength: 200 },
  },
} as const
const byId = { type: "object", properties: { id: { type: "integer", minimum: 1 } } } as const

/** Users, and what each has ordered. */
await serve({
  name: "user",
  tables: `
    create table users (id bigint generated always as identity primary key, email text not null unique, name text not null,
      created_at timestamptz not null);
    create table user_orders (order_id bigint primary key, user_id bigint not null, amount numeric(12, 2) not null,
      created_at timestamptz not null);
    create index on user_orders (user_id, order_id);
    create table summaries (user_id bigint primary key, orders_count int not null, total numeric(14, 2) not null)`,
  sends: "peer_user_created",
  reads: "peer_order_created",
  react: async (client, { order_id, user_id, amount, created_at }) => {
    await client.query({
      name: "user_order",
      text: "insert into user_orders (order_id, user_id, amount, created_at) values ($1, $2, $3, $4)",
      values: [order_id, user_id, amount, created_at],
    })
    await client.query({
      name: "summary",
      text: `insert into summaries (user_id, orders_count, total) values ($1, 1, $2) on conflict (user_id) do update
        set orders_count = summaries.orders_count + 1, total = summaries.total + excluded.total`,
      values: [user_id, amount],
    })
  },
  routes: ({ app, transaction, pool }) => {
    app.post<{ Body: { email: string; name: string } }>("/users", { schema: { body } }, async (request, reply) => {
      const { email, name } = request.body
      const created_at = new Date()
      const user = await transaction(async (client) => {
        const { rows } = await client.query({
          name: "user",
          text: "insert into users (email, name, created_at) values ($1, $2, $3) returning id",
          values: [email, name, created_at],
        })
        const id = Number(rows[0].id)
        await emit(client, { id: crypto.randomUUID(), key: `${id}`, data: { user_id: id, email, name, created_at } })
        return { id, email, name, created_at }
      })
      void reply.code(201).header("location", `/users/${user.id}`)
      return user
    })
    app.get<{ Params: { id: number } }>(
      "/users/:id/order-summary",
      { schema: { params: byId } },
      async ({ params: { id } }) => {
        const { rows } = await pool.query({
          name: "summary_of",
          text: "select orders_count, total from summaries where user_id = $1",
          values: [id],
        })
        return { user_id: id, orders_count: rows[0]?.orders_count ?? 0, total_amount: rows[0]?.total ?? "0.00" }
      },
    )
    app.get<{ Params: { id: number }; Querystring: { limit?: number } }>(
      "/users/:id/orders",
      { schema: { params: byId, querystring: { type: "object", properties: { limit: { type: "integer" } } } } },
      async ({ params: { id }, query: { limit = 50 } }) => {
        const { rows } = await pool.query({
          name: "orders_of",
          text: `select order_id::int, amount, created_at from user_orders where user_id = $1
            order by order_id desc limit $2`,
          values: [id, limit],
        })
        return { items: rows }
      },
    )
  },
})
