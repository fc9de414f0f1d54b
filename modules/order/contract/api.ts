import { Effect, Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { created, headers, problems } from "../../../runtime/http/Idempotency.ts"
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
  { slug: "order-not-found", status: 404, title: "Order not found", detail: "There is no order with this id." },
  { order_id: OrderId },
) {}

export class UserUnknown extends declare<UserUnknown>()(
  "UserUnknown",
  { slug: "user-not-found", status: 404, title: "User not found", detail: "There is no user with this id." },
  { user_id: UserId },
) {}

export const OrderStatus = Schema.Literals(["created", "paid", "processed", "failed", "cancelled"]).annotate({
  description: "`processed`, `failed` and `cancelled` are final.",
})
export type OrderStatus = typeof OrderStatus.Type

export class OrderNotCancellable extends declare<OrderNotCancellable>()(
  "OrderNotCancellable",
  {
    slug: "order-not-cancellable",
    status: 409,
    title: "Order not cancellable",
    detail: "The order is processed or failed and can no longer be cancelled.",
  },
  { order_id: OrderId, order_status: OrderStatus },
) {}

const mostQuantity = 1_000_000

const Quantity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostQuantity })).annotate({
  description: `All lines of one product together may have at most ${mostQuantity} units.`,
})

/** The greatest total quantity of one product over its lines. */
const mostOfOneProduct = (lines: ReadonlyArray<{ readonly product_id: string; readonly quantity: number }>) => {
  const quantities = new Map<string, number>()
  for (const { product_id, quantity } of lines) {
    quantities.set(product_id, (quantities.get(product_id) ?? 0) + quantity)
  }
  return Math.max(...quantities.values())
}

const NewItem = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.optionalKey(text(200).annotate({ description: "Default: the product's id." })),
  quantity: Quantity,
  price: Money,
}).annotate({ identifier: "NewItem" })

const usual = "card_ok"

/** An order by its amount, or by its items, whose exact sum is the amount; or by both when they agree. */
export const NewOrder = Schema.Struct({
  user_id: UserId,
  amount: Schema.optionalKey(Money),
  items: Schema.optionalKey(Schema.Array(NewItem).check(Schema.isMinLength(1), Schema.isMaxLength(100))),
  payment_method: Schema.String.check(
    Schema.isPattern(/^[a-z0-9_]{1,64}$/u, { message: "expected 1 to 64 lower-case letters, digits or _" }),
  )
    .annotate({ description: "The token of a means of payment.", default: usual })
    .pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(usual))),
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
  .pipe(
    Schema.annotateEncoded({
      description:
        "Order by amount, or by items, whose exact sum is the amount; or by both if they agree. The sum must be in the range of an amount.",
      anyOf: [{ required: ["amount"] }, { required: ["items"] }],
      examples: [
        {
          user_id: 1,
          items: [{ product_id: "LAPTOP001", product_name: "Gaming Laptop", quantity: 1, price: "999.90" }],
          payment_method: usual,
        },
        { user_id: 1, amount: 999.9 },
      ],
    }),
  )
export type NewOrder = typeof NewOrder.Type

export const Item = Schema.Struct({
  product_id: ProductId,
  product_name: Schema.String.annotate({ examples: ["Gaming Laptop"] }),
  quantity: Quantity.annotate({ examples: [1] }),
  price: MoneyText,
}).annotate({ identifier: "Item" })

export const Order = Schema.Struct({
  id: OrderId,
  user_id: UserId,
  amount: MoneyText,
  status: OrderStatus,
  processed: Schema.Boolean.annotate({ description: "Whether the status is `processed`.", examples: [false] }),
  reason: Schema.optionalKey(Schema.String.annotate({ description: "Why it failed or was cancelled." })),
  items: Schema.Array(Item).annotate({ description: "Empty for an order placed by its amount." }),
  created_at: Instant,
}).annotate({ identifier: "Order", description: "The order." })
export type Order = typeof Order.Type

/** An event that the order published or reacted to, and its status afterwards. */
export const HistoryEntry = Schema.Struct({
  event_id: Schema.String.annotate({ examples: ["019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"] }),
  type: Schema.String.annotate({ description: "The type of the event.", examples: ["order_created"] }),
  occurred_at: Instant,
  status: OrderStatus.annotate({ description: "The order's status after this event." }),
  data: Schema.Unknown.annotateKey({
    description: "The data of the event.",
    examples: [{ order_id: 1, user_id: 1, amount: "999.90" }],
  }),
}).annotate({ identifier: "HistoryEntry", description: "An event that the order published or reacted to." })
export type HistoryEntry = typeof HistoryEntry.Type

/** Maximum number of characters of a reason. */
export const mostReason = 500

export const Cancellation = Schema.Struct({
  reason: Schema.optionalKey(text(mostReason).annotate({ examples: ["ordered twice"] })),
}).annotate({ identifier: "Cancellation" })

const path = { id: IdText.annotate({ description: "The order's id." }) }

const orders = HttpApiGroup.make("orders")
  .add(
    HttpApiEndpoint.post("place", "/orders", {
      headers,
      payload: NewOrder,
      success: created(Order, "/orders/:id"),
      error: [UserUnknown, ...problems],
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Place an order",
        description:
          "An order may follow the creation of its user at once: for an unknown user the server waits a moment before it answers `user-not-found`.",
      }),
    ),
    HttpApiEndpoint.get("list", "/orders", {
      query: {
        ...PageQuery,
        user_id: Schema.optionalKey(IdText.annotate({ description: "Only orders of this user." })),
        status: Schema.optionalKey(OrderStatus.annotate({ description: "Only orders of this status." })),
      },
      success: page(Order),
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List the orders",
        description: "Newest first. Filters that match nothing give an empty page.",
      }),
    ),
    HttpApiEndpoint.get("get", "/orders/:id", { params: path, success: Order, error: OrderNotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get an order" }),
    ),
    HttpApiEndpoint.post("cancel", "/orders/:id/cancel", {
      params: path,
      payload: [HttpApiSchema.NoContent, Cancellation],
      success: Order,
      error: [OrderNotFound, OrderNotCancellable],
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Cancel an order",
        description: "The body may be left out. Cancelling a cancelled order succeeds and changes nothing.",
      }),
    ),
    HttpApiEndpoint.get("history", "/orders/:id/history", {
      params: path,
      query: PageQuery,
      success: page(HistoryEntry),
      error: [OrderNotFound, InvalidCursor],
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List what happened to an order",
        description:
          "Events that the order published or reacted to, each once, in the order in which it processed them.",
      }),
    ),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "Orders", description: "Orders and what becomes of them." }))

export const api = HttpApi.make("galleria").add(orders).annotate(HttpApi.ParseOptions, { errors: "all" })
