import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Audit } from "../../runtime/module/Audit.ts"

interface Row {
  readonly order_id: bigint
  readonly kinds: ReadonlyArray<string>
}

export const audit = Effect.map(SqlClient.SqlClient, (sql): Audit => ({
  facts: (after, limit) =>
    Effect.map(
      Effect.orDie(sql<Row>`
          select order_id, json_agg(kind order by id) as kinds from notifications
          where order_id is not null and order_id > ${after}::bigint group by order_id order by order_id limit ${limit}`),
      (rows) => rows.map(({ order_id, kinds }) => ({ order_id: Number(order_id), status: "notified", kinds })),
    ),
}))
