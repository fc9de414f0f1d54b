import { Effect, type Schema } from "effect"
import type { Event, EventType } from "../../runtime/events/Event.ts"
import { all } from "../../runtime/module/Reaction.ts"
import type { Money } from "../Money.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "../order/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { UserCreated } from "../user/contract/events.ts"
import type { Kind } from "./contract/events.ts"
import type { Occasion } from "./Notification.ts"
import { type Happening, Notifications } from "./Notifications.ts"

const happeningOf = ({ source, id, time }: Event, occasion: Occasion): Happening => ({
  source,
  event_id: id,
  time,
  occasion,
})

interface OrderData {
  readonly order_id: number
  readonly user_id: number
  readonly amount: Money
  readonly reason?: string
}

/** A reaction to a step of an order: stores a notification of this kind for each event. */
const notifyOf = <Data extends Schema.Codec<OrderData, { readonly order_id: number }>>(
  name: string,
  event: EventType<string, Data>,
  kind: Exclude<Kind, "welcome">,
) =>
  all({
    name,
    event,
    heldBy: "order_id",
    handle: (events) =>
      Notifications.use((notifications) =>
        notifications.notify(
          events.map((event) => {
            const { order_id, user_id, amount, reason }: OrderData = event.data
            return happeningOf(event, { kind, order_id, user_id, amount, ...(reason === undefined ? {} : { reason }) })
          }),
        ),
      ),
  })

export const reactions = [
  all({
    name: "notification.welcome",
    event: UserCreated,
    handle: (events) =>
      Notifications.use((notifications) =>
        Effect.andThen(
          notifications.recordUsers(events.map(({ data }) => data)),
          notifications.notify(
            events.map((event) => {
              const { user_id, name } = event.data
              return happeningOf(event, { kind: "welcome", user_id, name })
            }),
          ),
        ),
      ),
  }),
  notifyOf("notification.tell-created", OrderCreated, "order_created"),
  notifyOf("notification.tell-paid", PaymentSuccessful, "order_paid"),
  notifyOf("notification.tell-declined", PaymentFailed, "payment_declined"),
  notifyOf("notification.tell-processed", OrderProcessed, "order_processed"),
  notifyOf("notification.tell-failed", OrderFailed, "order_failed"),
  notifyOf("notification.tell-cancelled", OrderCancelled, "order_cancelled"),
  notifyOf("notification.tell-refunded", PaymentRefunded, "payment_refunded"),
]
