import { all } from "../../runtime/module/Reaction.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "../order/contract/events.ts"
import { Users } from "./Users.ts"

export const reactions = [
  all({
    name: "user.record-order",
    event: OrderCreated,
    handle: (events) => Users.use((users) => users.recordOrders(events)),
  }),
  all({
    name: "user.record-processed",
    event: OrderProcessed,
    handle: (events) => Users.use((users) => users.recordEndings("processed", events)),
  }),
  all({
    name: "user.record-failed",
    event: OrderFailed,
    handle: (events) => Users.use((users) => users.recordEndings("failed", events)),
  }),
  all({
    name: "user.record-cancelled",
    event: OrderCancelled,
    handle: (events) => Users.use((users) => users.recordEndings("cancelled", events)),
  }),
]
