import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Journey, OrderStep } from "../../runtime/module/Journey.ts"
import type { NotificationStatus } from "./contract/api.ts"
import { sending } from "./NotificationStore.ts"

interface Row {
  readonly id: bigint
  readonly user_id: bigint
  readonly status: NotificationStatus
  readonly reason: string | null
  readonly created_at: Date
}

/** Mails of an order that a journey shows. */
const mostMails = 50

const stepOf = ({ id, status, reason, created_at: at }: Row): OrderStep => ({
  kind: "mail",
  at,
  state: status === "pending" ? "waiting" : status,
  ...(reason === null ? {} : { why: reason }),
  task: { name: sending, id: String(id) },
})

export const journey = Effect.map(SqlClient.SqlClient, (sql): Journey => ({
  of: (order_id) =>
    Effect.map(
      Effect.orDie(sql<Row>`
        select id, user_id, status, reason, created_at from notifications
        where order_id = ${order_id} order by id limit ${mostMails}`),
      (rows) => (rows.length === 0 ? undefined : { user_id: Number(rows[0]!.user_id), steps: rows.map(stepOf) }),
    ),
  calls: { [sending]: { kind: "mail", ofOrder: false } },
}))
