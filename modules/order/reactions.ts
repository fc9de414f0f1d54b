import type { Schema } from "effect"
import type { EventType } from "../../runtime/events/Event.ts"
import { all } from "../../runtime/module/Reaction.ts"
import { InventoryRejected, InventoryUpdated } from "../inventory/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { inOneLine } from "../Text.ts"
import { UserCreated } from "../user/contract/events.ts"
import { mostReason } from "./contract/api.ts"
import { OrderCreated } from "./contract/events.ts"
import type { News } from "./Order.ts"
import { Orders } from "./Orders.ts"

/** A reaction to an event about an order: `newsOf` interprets it. The history keeps it as received. */
const learn = <Data extends Schema.Codec<{ readonly order_id: number }, any>>(
  name: string,
  event: EventType<string, Data>,
  newsOf: (data: Data["Type"]) => News,
) =>
  all({
    name,
    event,
    heldBy: "order_id",
    handle: (events) =>
      Orders.use((orders) =>
        orders.learn(
          events.map(({ id, type, time, data, received }) => ({
            event_id: id,
            type,
            time: time.toISOString(),
            data: JSON.stringify(received),
            order_id: data.order_id,
            news: newsOf(data),
          })),
        ),
      ),
  })

/** A refusal ends the order with any text as its reason; NUL cannot be stored, and line breaks are not shown in mails. */
const refused = ({ reason }: { readonly reason: string }): News => ({
  _tag: "Refused",
  reason: inOneLine(reason, mostReason),
})

export const reactions = [
  all({
    name: "order.know-user",
    event: UserCreated,
    hasHistory: true,
    handle: (events) => Orders.use((orders) => orders.recordUsers(events.map(({ data }) => data.user_id))),
  }),
  all({
    name: "order.start",
    event: OrderCreated,
    heldBy: "order_id",
    handle: (events) => Orders.use((orders) => orders.start(events.map(({ data }) => data))),
  }),
  learn("order.learn-paid", PaymentSuccessful, ({ amount }) => ({ _tag: "Paid", amount })),
  learn("order.learn-declined", PaymentFailed, refused),
  learn("order.learn-refunded", PaymentRefunded, refused),
  learn("order.learn-stock", InventoryUpdated, ({ change }) => ({ _tag: change === "taken" ? "Taken" : "Noted" })),
  learn("order.learn-rejected", InventoryRejected, refused),
]
