import { all } from "../../runtime/module/Reaction.ts"
import { InventoryRejected, InventoryUpdated } from "../inventory/contract/events.ts"
import { OrderCancelled, OrderCreated } from "../order/contract/events.ts"
import { Payments } from "./Payments.ts"

export const reactions = [
  all({
    name: "payment.open",
    event: OrderCreated,
    heldBy: "order_id",
    handle: (events) =>
      Payments.use((payments) =>
        payments.open(
          events.map(({ id, data: { order_id, user_id, amount, payment_method, steps } }) => ({
            order_id,
            user_id,
            amount,
            payment_method,
            steps,
            key: id,
          })),
        ),
      ),
  }),
  all({
    name: "payment.go",
    event: InventoryUpdated,
    heldBy: "order_id",
    handle: (events) =>
      Payments.use((payments) =>
        payments.go(events.filter(({ data }) => data.change === "held").map(({ data }) => data.order_id)),
      ),
  }),
  all({
    name: "payment.stop-rejected",
    event: InventoryRejected,
    heldBy: "order_id",
    handle: (events) =>
      Payments.use((payments) => payments.stop(events.map(({ data: { order_id, reason } }) => ({ order_id, reason })))),
  }),
  all({
    name: "payment.stop-cancelled",
    event: OrderCancelled,
    heldBy: "order_id",
    handle: (events) =>
      Payments.use((payments) =>
        payments.stop(events.map(({ data: { order_id } }) => ({ order_id, reason: "order_cancelled" }))),
      ),
  }),
]
