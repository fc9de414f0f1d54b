import type { Schema } from "effect"
import type { EventType } from "../../runtime/events/Event.ts"
import { all } from "../../runtime/module/Reaction.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "../order/contract/events.ts"
import { Users } from "./Users.ts"

type Ending = Schema.Codec<typeof OrderCancelled.data.Type, any>

const recordEnding = (status: "processed" | "failed" | "cancelled", event: EventType<string, Ending>) =>
  all({
    name: `user.record-${status}`,
    event,
    heldBy: "order_id",
    handle: (events) => Users.use((users) => users.recordEndings(status, events)),
    reset: Users.use((users) => users.forgetEndings(status)),
  })

export const reactions = [
  all({
    name: "user.record-order",
    event: OrderCreated,
    heldBy: "order_id",
    handle: (events) => Users.use((users) => users.recordOrders(events)),
    reset: Users.use((users) => users.forgetOrders()),
  }),
  recordEnding("processed", OrderProcessed),
  recordEnding("failed", OrderFailed),
  recordEnding("cancelled", OrderCancelled),
]
