import { Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { Total } from "../../Money.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "./ids.ts"

/** A foreign producer may leave out `created_at`; then the event's time is used. */
export const UserCreated = define("user_created", {
  data: Schema.Struct({
    user_id: UserId,
    email: Schema.String.annotate({ examples: ["ann@example.com"], personal: "e-mail" }),
    name: Schema.String.annotate({ examples: ["Ann"], personal: "name" }),
    created_at: Schema.optionalKey(Instant),
  }).annotate({ description: "A user was created." }),
  key: "user_id",
  subject: "user_id",
  keptForever: true,
})

export const UserOrderSummaryUpdated = define("user_order_summary_updated", {
  data: Schema.Struct({
    user_id: UserId,
    orders_count: Schema.Int.annotate({ examples: [2] }),
    total_amount: Total,
  }).annotate({
    description: "The number or total of a user's orders has changed; failed and cancelled orders do not count.",
  }),
  key: "user_id",
  subject: "user_id",
})
