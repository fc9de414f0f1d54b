import { Effect, Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { ProductId } from "../../inventory/contract/ids.ts"
import { Money } from "../../Money.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "../../user/contract/ids.ts"
import { OrderId } from "./ids.ts"

/** What an order may need before it is processed. */
export const Step = Schema.Literals(["payment", "inventory"])
export type Step = typeof Step.Type

export const OrderLine = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.String,
  quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
  price: Money,
}).annotate({ identifier: "OrderLine" })

const ordered = { key: "user_id", subject: "order_id" } as const

/**
 * An order was placed. `steps` says what it needs; a module whose step it does not name ignores it. A foreign producer
 * may name order, user and amount alone; the event's own time counts where `created_at` is left out.
 */
export const OrderCreated = define("order_created", {
  data: Schema.Struct({
    order_id: OrderId,
    user_id: UserId,
    amount: Money,
    items: Schema.Array(OrderLine).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
    payment_method: Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("card_ok"))),
    steps: Schema.Array(Step).pipe(Schema.withDecodingDefaultKey(Effect.succeed(["payment", "inventory"] as const))),
    created_at: Schema.optionalKey(Instant),
  }),
  ...ordered,
})

const ending = Schema.Struct({
  order_id: OrderId,
  user_id: UserId,
  amount: Money,
  reason: Schema.optionalKey(Schema.String),
})

/** Everything that the order needed is done. */
export const OrderProcessed = define("order_processed", { data: ending, ...ordered })

/** The order came to nothing: it was declined, or not in stock. */
export const OrderFailed = define("order_failed", { data: ending, ...ordered })

/** Somebody cancelled the order before it was processed. */
export const OrderCancelled = define("order_cancelled", { data: ending, ...ordered })
