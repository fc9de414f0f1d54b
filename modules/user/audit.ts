import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Audit } from "../../runtime/module/Audit.ts"

interface Row {
  readonly order_id: bigint
  readonly status: string
  readonly amount: string
  readonly listed: boolean
}

export const audit = Effect.map(SqlClient.SqlClient, (sql): Audit => ({
  facts: (after, limit) =>
    Effect.map(
      Effect.orDie(sql<Row>`
          select order_id, status, amount, created_at is not null as listed from user_orders
          where order_id > ${after}::bigint order by order_id limit ${limit}`),
      (rows) => rows.map((row) => ({ ...row, order_id: Number(row.order_id) })),
    ),
}))
