import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Audit } from "../../runtime/module/Audit.ts"

interface Row {
  readonly order_id: bigint
  readonly status: string
  readonly amount: string
  readonly steps: ReadonlyArray<string>
  readonly created_at: Date
}

export const audit = Effect.map(SqlClient.SqlClient, (sql): Audit => ({
  facts: (after, limit) =>
    Effect.map(
      Effect.orDie(sql<Row>`
          select id as order_id, status, amount, steps, created_at from orders
          where id > ${after}::bigint order by id limit ${limit}`),
      (rows) =>
        rows.map((row) => ({ ...row, order_id: Number(row.order_id), created_at: row.created_at.toISOString() })),
    ),
}))
