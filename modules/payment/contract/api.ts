import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { InvalidCursor, page, PageQuery } from "../../../runtime/http/Page.ts"
import { declare, Edge } from "../../../runtime/http/Problem.ts"
import { IdText } from "../../Id.ts"
import { MoneyText } from "../../Money.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "../../user/contract/ids.ts"
import { PaymentId } from "./ids.ts"

export class PaymentNotFound extends declare<PaymentNotFound>()(
  "PaymentNotFound",
  { slug: "payment-not-found", status: 404, title: "Payment not found", detail: "There is no payment with this id." },
  { payment_id: PaymentId },
) {}

export const PaymentStatus = Schema.Literals(["pending", "successful", "failed", "refunded"]).annotate({
  description: "`refunded` is final. `failed` is final unless the provider turns out to have charged.",
})
export type PaymentStatus = typeof PaymentStatus.Type

export const Payment = Schema.Struct({
  id: PaymentId,
  order_id: OrderId,
  user_id: UserId,
  amount: MoneyText,
  status: PaymentStatus,
  reason: Schema.optionalKey(
    Schema.String.annotate({ description: "Why the payment failed or was refunded.", examples: ["card_declined"] }),
  ),
  created_at: Instant,
}).annotate({ identifier: "Payment", description: "The payment of an order." })
export type Payment = typeof Payment.Type

const payments = HttpApiGroup.make("payments")
  .add(
    HttpApiEndpoint.get("list", "/payments", {
      query: {
        ...PageQuery,
        order_id: Schema.optionalKey(IdText.annotate({ description: "Only the payment of this order." })),
        user_id: Schema.optionalKey(IdText.annotate({ description: "Only payments of this user." })),
        status: Schema.optionalKey(PaymentStatus.annotate({ description: "Only payments of this status." })),
      },
      success: page(Payment),
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List the payments",
        description: "Newest first. Filters that match nothing give an empty page.",
      }),
    ),
    HttpApiEndpoint.get("get", "/payments/:id", {
      params: { id: IdText.annotate({ description: "The payment's id." }) },
      success: Payment,
      error: PaymentNotFound,
    }).annotateMerge(OpenApi.annotations({ summary: "Get a payment" })),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "Payments", description: "Charges and refunds of orders." }))

export const api = HttpApi.make("galleria").add(payments).annotate(HttpApi.ParseOptions, { errors: "all" })
