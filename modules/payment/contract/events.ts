import { Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { Money } from "../../Money.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { UserId } from "../../user/contract/ids.ts"
import { PaymentId } from "./ids.ts"

const fields = { payment_id: PaymentId, order_id: OrderId, user_id: UserId, amount: Money }
const ordered = { key: "user_id", subject: "order_id" } as const

/** An order was charged. */
export const PaymentSuccessful = define("payment_successful", { data: Schema.Struct(fields), ...ordered })

/** The provider declined, with its own reason, or did not answer in time (`provider_unavailable`). */
export const PaymentFailed = define("payment_failed", {
  data: Schema.Struct({ ...fields, reason: Schema.String }),
  ...ordered,
})

/** The charge of an order was refunded. */
export const PaymentRefunded = define("payment_refunded", {
  data: Schema.Struct({ ...fields, reason: Schema.String }),
  ...ordered,
})
