import { Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { Total } from "../../Money.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "./ids.ts"

/** A user was created. A foreign producer may leave out `created_at`; then the event's time is used. */
export const UserCreated = define("user_created", {
  data: Schema.Struct({
    user_id: UserId,
    email: Schema.String,
    name: Schema.String,
    created_at: Schema.optionalKey(Instant),
  }),
  key: "user_id",
  subject: "user_id",
  keptForever: true,
})

/** The number or total of a user's orders has changed; failed and cancelled orders do not count. */
export const UserOrderSummaryUpdated = define("user_order_summary_updated", {
  data: Schema.Struct({ user_id: UserId, orders_count: Schema.Int, total_amount: Total }),
  key: "user_id",
  subject: "user_id",
})
