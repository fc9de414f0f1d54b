import { Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { Money } from "../../Money.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { UserId } from "../../user/contract/ids.ts"
import { PaymentId } from "./ids.ts"

const fields = { payment_id: PaymentId, order_id: OrderId, user_id: UserId, amount: Money }
const reason = Schema.String.annotate({ examples: ["card_declined"] })
const ordered = { key: "user_id", subject: "order_id" } as const

export const PaymentSuccessful = define("payment_successful", {
  data: Schema.Struct(fields).annotate({ description: "An order was charged." }),
  ...ordered,
})

export const PaymentFailed = define("payment_failed", {
  data: Schema.Struct({ ...fields, reason }).annotate({
    description: "The provider declined, with its own reason, or did not answer in time (`provider_unavailable`).",
  }),
  ...ordered,
})

export const PaymentRefunded = define("payment_refunded", {
  data: Schema.Struct({ ...fields, reason }).annotate({
    description: "The charge of an order was refunded.",
  }),
  ...ordered,
})
