import { Effect, Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { ProductId } from "../../inventory/contract/ids.ts"
import { Money } from "../../Money.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "../../user/contract/ids.ts"
import { OrderId } from "./ids.ts"

/** A step that an order may need before it is processed. */
export const Step = Schema.Literals(["payment", "inventory"])
export type Step = typeof Step.Type

export const OrderLine = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.String.annotate({ examples: ["Gaming Laptop"] }),
  quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
  price: Money,
}).annotate({ identifier: "OrderLine" })

const ordered = { key: "user_id", subject: "order_id" } as const

/** A foreign producer may send only order, user and amount; without `created_at` the event's time is used. */
export const OrderCreated = define("order_created", {
  data: Schema.Struct({
    order_id: OrderId,
    user_id: UserId,
    amount: Money,
    items: Schema.Array(OrderLine).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
    payment_method: Schema.String.annotate({ examples: ["card_ok"], personal: "payment method" }).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("card_ok")),
    ),
    steps: Schema.Array(Step).pipe(Schema.withDecodingDefaultKey(Effect.succeed(["payment", "inventory"] as const))),
    created_at: Schema.optionalKey(Instant),
  }).annotate({
    description:
      "An order was placed. `steps` names the steps that it needs; a module whose step is not named ignores the order.",
  }),
  ...ordered,
})

const ending = Schema.Struct({
  order_id: OrderId,
  user_id: UserId,
  amount: Money,
  reason: Schema.optionalKey(Schema.String.annotate({ examples: ["card_declined"] })),
})

export const OrderProcessed = define("order_processed", {
  data: ending.annotate({ description: "All steps of the order are done." }),
  ...ordered,
})

export const OrderFailed = define("order_failed", {
  data: ending.annotate({
    description: "The order failed: the payment was declined, or the items were not in stock.",
  }),
  ...ordered,
})

export const OrderCancelled = define("order_cancelled", {
  data: ending.annotate({ description: "The order was cancelled before it was processed." }),
  ...ordered,
})
