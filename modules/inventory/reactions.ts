import type { Schema } from "effect"
import type { EventType } from "../../runtime/events/Event.ts"
import { all } from "../../runtime/module/Reaction.ts"
import { OrderCancelled, OrderCreated } from "../order/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import type { News } from "./Hold.ts"
import { Inventory } from "./Inventory.ts"

type OfOrder = Schema.Codec<{ readonly order_id: number; readonly user_id: number }, { readonly order_id: number }>

/** A reaction to a payment or cancellation event of an order. */
const learn = <Data extends OfOrder>(name: string, event: EventType<string, Data>, news: News) =>
  all({
    name,
    event,
    heldBy: "order_id",
    handle: (events) =>
      Inventory.use((inventory) =>
        inventory.learn(
          events.map(({ data }) => data),
          news,
        ),
      ),
  })

export const reactions = [
  all({
    name: "inventory.hold",
    event: OrderCreated,
    heldBy: "order_id",
    handle: (events) => Inventory.use((inventory) => inventory.hold(events)),
  }),
  learn("inventory.take", PaymentSuccessful, { _tag: "Paid" }),
  learn("inventory.release-declined", PaymentFailed, { _tag: "Dead" }),
  learn("inventory.release-refunded", PaymentRefunded, { _tag: "Dead" }),
  learn("inventory.release-cancelled", OrderCancelled, { _tag: "Dead" }),
]
