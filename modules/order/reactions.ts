import { Schema } from "effect"
import type { EventType } from "../../runtime/events/Event.ts"
import { all } from "../../runtime/module/Reaction.ts"
import { InventoryRejected, InventoryUpdated } from "../inventory/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { UserCreated } from "../user/contract/events.ts"
import { OrderCreated } from "./contract/events.ts"
import type { News } from "./Order.ts"
import { Orders } from "./Orders.ts"

/** A reaction to what another module tells of an order: `newsOf` says what it means. */
const learn = <Data extends Schema.Codec<{ readonly order_id: number }, any>>(
  name: string,
  event: EventType<string, Data>,
  newsOf: (data: Data["Type"]) => News,
) =>
  all({
    name,
    event,
    handle: (events) =>
      Orders.use((orders) =>
        orders.learn(
          events.map(({ id, type, time, data }) => ({
            event_id: id,
            type,
            time: time.toISOString(),
            data: JSON.stringify(Schema.encodeSync(event.data)(data)),
            order_id: data.order_id,
            news: newsOf(data),
          })),
        ),
      ),
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
    handle: (events) => Orders.use((orders) => orders.start(events.map(({ data }) => data.order_id))),
  }),
  learn("order.learn-paid", PaymentSuccessful, ({ amount }) => ({ _tag: "Paid", amount })),
  learn("order.learn-declined", PaymentFailed, ({ reason }) => ({ _tag: "Refused", reason })),
  learn("order.learn-refunded", PaymentRefunded, ({ reason }) => ({ _tag: "Refused", reason })),
  learn("order.learn-stock", InventoryUpdated, ({ change }) => ({ _tag: change === "taken" ? "Taken" : "Noted" })),
  learn("order.learn-rejected", InventoryRejected, ({ reason }) => ({ _tag: "Refused", reason })),
]
