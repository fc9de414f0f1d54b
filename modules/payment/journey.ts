import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Journey, OrderPart, OrderStep } from "../../runtime/module/Journey.ts"
import type { PaymentStatus } from "./contract/api.ts"
import { taskNames } from "./PaymentStore.ts"

interface Row {
  readonly status: PaymentStatus
  readonly user_id: bigint
  readonly reason: string | null
  readonly go: boolean
  readonly stop: string | null
  readonly call: "no" | "out" | "unknown" | "charged"
  readonly created_at: Date
  readonly chargeable_at: Date | null
  readonly failed_at: Date | null
}

/** The charge of an order, and its refund while that is to be made. */
export const partOf = (order_id: number, row: Row): OrderPart => {
  const { status, reason, go, stop, call, created_at, chargeable_at, failed_at } = row
  const isHeldBack = status === "pending" && !go && stop === null
  const why = isHeldBack ? "the stock is not held yet" : (stop ?? reason)
  const charge: OrderStep = {
    kind: "charge",
    at: chargeable_at ?? created_at,
    state: status === "pending" ? "waiting" : status,
    ...(why === null ? {} : { why }),
    task: { name: taskNames.charge, id: String(order_id) },
  }
  const refund: OrderStep = {
    kind: "refund",
    at: failed_at ?? chargeable_at ?? created_at,
    state: "waiting",
    task: { name: taskNames.refund, id: String(order_id) },
  }
  const isRefunding = call === "charged" && status !== "refunded" && (stop ?? reason) !== null
  return { user_id: Number(row.user_id), steps: isRefunding ? [charge, refund] : [charge] }
}

export const journey = Effect.map(SqlClient.SqlClient, (sql): Journey => ({
  of: (order_id) =>
    Effect.map(
      Effect.orDie(sql<Row>`
        select status, user_id, reason, go, stop, call, created_at, chargeable_at, failed_at
        from payments where order_id = ${order_id} and id is not null`),
      ([row]) => (row === undefined ? undefined : partOf(order_id, row)),
    ),
  calls: {
    [taskNames.charge]: { kind: "charge", ofOrder: true },
    [taskNames.refund]: { kind: "refund", ofOrder: true },
  },
}))
