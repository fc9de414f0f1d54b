import { Schema } from "effect"
import { define } from "../../../runtime/events/Event.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { UserId } from "../../user/contract/ids.ts"
import { ProductId } from "./ids.ts"

const ordered = { key: "user_id", subject: "order_id" } as const

export const InventoryUpdated = define("inventory_updated", {
  data: Schema.Struct({
    order_id: OrderId,
    user_id: UserId,
    change: Schema.Literals(["held", "taken", "released"]),
    lines: Schema.Array(
      Schema.Struct({ product_id: ProductId, quantity: Schema.Int, stock: Schema.Int, available: Schema.Int }),
    ),
  }).annotate({ description: "The stock of an order's lines was held, taken or released." }),
  ...ordered,
})

export const InventoryRejected = define("inventory_rejected", {
  data: Schema.Struct({
    order_id: OrderId,
    user_id: UserId,
    reason: Schema.Literals(["out_of_stock", "unknown_product", "hold_expired"]),
    shortages: Schema.optionalKey(
      Schema.Array(Schema.Struct({ product_id: ProductId, requested: Schema.Int, available: Schema.Int })),
    ),
  }).annotate({ description: "The lines of an order cannot be supplied, or their hold has expired." }),
  ...ordered,
})
