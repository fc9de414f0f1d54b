import { Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { UserId } from "../../user/contract/ids.ts"
import { NotificationId } from "./ids.ts"

/** How a notification is delivered: by e-mail, or only as a log line when no mail server is configured. */
export const Channel = Schema.Literals(["email", "log"]).annotate({
  description: "`email`: sent to the user; `log`: no mail server is configured, and only a log line was written.",
})
export type Channel = typeof Channel.Type

/** The subject of a notification. */
export const Kind = Schema.Literals([
  "welcome",
  "order_created",
  "order_paid",
  "payment_declined",
  "order_processed",
  "order_failed",
  "order_cancelled",
  "payment_refunded",
]).annotate({ description: "What the notification is about." })
export type Kind = typeof Kind.Type

export const NotificationSent = define("notification_sent", {
  data: Schema.Struct({
    notification_id: NotificationId,
    user_id: UserId,
    order_id: Schema.optionalKey(OrderId),
    channel: Channel,
    kind: Kind,
  }).annotate({
    description: "A notification was sent, once. `order_id` is absent when it is not about an order.",
  }),
  key: "user_id",
  subject: "notification_id",
})
