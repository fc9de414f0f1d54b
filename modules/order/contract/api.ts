import { Effect, Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { answerHeaders, headers, problems } from "../../../runtime/http/Idempotency.ts"
import { InvalidCursor, page, PageQuery } from "../../../runtime/http/Page.ts"
import { declare, Edge } from "../../../runtime/http/Problem.ts"
import { IdText } from "../../Id.ts"
import { ProductId } from "../../inventory/contract/ids.ts"
import { format, inRange, Money, MoneyText, sumOfLines } from "../../Money.ts"
import { text } from "../../Text.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "../../user/contract/ids.ts"
import { OrderId } from "./ids.ts"

export class OrderNotFound extends declare<OrderNotFound>()(
  "OrderNotFound",
  { slug: "order-not-found", status: 404, title: "Order not found", detail: "There is no order of this id." },
  { order_id: OrderId },
) {}

export class UserUnknown extends declare<UserUnknown>()(
  "UserUnknown",
  { slug: "user-not-found", status: 404, title: "User not found", detail: "There is no user of this id." },
  { user_id: UserId },
) {}

export const OrderStatus = Schema.Literals(["created", "paid", "processed", "failed", "cancelled"])
export type OrderStatus = typeof OrderStatus.Type

export class OrderNotCancellable extends declare<OrderNotCancellable>()(
  "OrderNotCancellable",
  {
    slug: "order-not-cancellable",
    status: 409,
    title: "Order not cancellable",
    detail: "The order is processed or failed, and cannot be cancelled any more.",
  },
  { order_id: OrderId, order_status: OrderStatus },
) {}

const mostQuantity = 1_000_000

const Quantity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostQuantity }))

/** Lines of one product are one quantity: that of the product of which there is most. */
const mostOfOneProduct = (lines: ReadonlyArray<{ readonly product_id: string; readonly quantity: number }>) => {
  const quantities = new Map<string, number>()
  for (const { product_id, quantity } of lines) {
    quantities.set(product_id, (quantities.get(product_id) ?? 0) + quantity)
  }
  return Math.max(...quantities.values())
}

const NewItem = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.optionalKey(text(200)),
  quantity: Quantity,
  price: Money,
}).annotate({ identifier: "NewItem" })

/** An order by its amount, or by its items, whose exact sum the amount is; both when they agree. */
export const NewOrder = Schema.Struct({
  user_id: UserId,
  amount: Schema.optionalKey(Money),
  items: Schema.optionalKey(Schema.Array(NewItem).check(Schema.isMinLength(1), Schema.isMaxLength(100))),
  payment_method: Schema.String.check(
    Schema.isPattern(/^[a-z0-9_]{1,64}$/u, { message: "expected 1 to 64 lower-case letters, digits or _" }),
  ).pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed("card_ok"))),
})
  .check(
    Schema.makeFilter(({ amount, items }) => {
      if (items === undefined) return amount !== undefined || "expected an amount or items"
      const sum = sumOfLines(items)
      if (!inRange(sum)) return { path: ["items"], issue: "expected the items to come to at most 99999999.99" }
      if (mostOfOneProduct(items) > mostQuantity) {
        return { path: ["items"], issue: `expected at most ${mostQuantity} of one product` }
      }
      if (amount === undefined || format(amount) === format(sum)) return true
      return { path: ["amount"], issue: `expected the sum of the items, ${format(sum)}` }
    }),
  )
  .annotate({ identifier: "NewOrder" })
export type NewOrder = typeof NewOrder.Type

export const Item = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.String,
  quantity: Quantity,
  price: MoneyText,
}).annotate({ identifier: "Item" })

export const Order = Schema.Struct({
  id: OrderId,
  user_id: UserId,
  amount: MoneyText,
  status: OrderStatus,
  processed: Schema.Boolean,
  reason: Schema.optionalKey(Schema.String),
  items: Schema.Array(Item),
  created_at: Instant,
}).annotate({ identifier: "Order" })
export type Order = typeof Order.Type

/** One thing that the order learned or told, and what it was after that. */
export const HistoryEntry = Schema.Struct({
  event_id: Schema.String,
  type: Schema.String,
  occurred_at: Instant,
  status: OrderStatus,
  data: Schema.Unknown,
}).annotate({ identifier: "HistoryEntry" })
export type HistoryEntry = typeof HistoryEntry.Type

export const Cancellation = Schema.Struct({ reason: Schema.optionalKey(text(500)) }).annotate({
  identifier: "Cancellation",
})

const path = { id: IdText }

const orders = HttpApiGroup.make("orders")
  .add(
    HttpApiEndpoint.post("place", "/orders", {
      headers,
      payload: NewOrder,
      success: HttpApiSchema.WithHeaders(Order.pipe(HttpApiSchema.status(201)), answerHeaders),
      error: [UserUnknown, ...problems],
    }),
    HttpApiEndpoint.get("list", "/orders", {
      query: { ...PageQuery, user_id: Schema.optionalKey(IdText), status: Schema.optionalKey(OrderStatus) },
      success: page(Order),
      error: InvalidCursor,
    }),
    HttpApiEndpoint.get("get", "/orders/:id", { params: path, success: Order, error: OrderNotFound }),
    HttpApiEndpoint.post("cancel", "/orders/:id/cancel", {
      params: path,
      payload: [HttpApiSchema.NoContent, Cancellation],
      success: Order,
      error: [OrderNotFound, OrderNotCancellable],
    }),
    HttpApiEndpoint.get("history", "/orders/:id/history", {
      params: path,
      query: PageQuery,
      success: page(HistoryEntry),
      error: [OrderNotFound, InvalidCursor],
    }),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "Orders" }))

export const api = HttpApi.make("galleria").add(orders).annotate(HttpApi.ParseOptions, { errors: "all" })
