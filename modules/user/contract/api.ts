import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { created, headers, problems } from "../../../runtime/http/Idempotency.ts"
import { InvalidCursor, page, PageQuery } from "../../../runtime/http/Page.ts"
import { declare, Edge } from "../../../runtime/http/Problem.ts"
import { IdText } from "../../Id.ts"
import { MoneyText, Total } from "../../Money.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { Email, text } from "../../Text.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "./ids.ts"

export class UserNotFound extends declare<UserNotFound>()(
  "UserNotFound",
  { slug: "user-not-found", status: 404, title: "User not found", detail: "There is no user with this id." },
  { user_id: UserId },
) {}

export class EmailTaken extends declare<EmailTaken>()("EmailTaken", {
  slug: "email-taken",
  status: 409,
  title: "E-mail taken",
  detail: "A user with this e-mail address exists; case is ignored.",
}) {}

export const NewUser = Schema.Struct({
  email: Email.annotate({ description: "Unique among users; case is ignored." }),
  name: text(200).annotate({ examples: ["Ann"] }),
}).annotate({ identifier: "NewUser" })

export const User = Schema.Struct({
  id: UserId,
  email: Schema.String.annotate({ examples: ["ann@example.com"] }),
  name: Schema.String.annotate({ examples: ["Ann"] }),
  created_at: Instant,
}).annotate({ identifier: "User", description: "The user." })
export type User = typeof User.Type

export const UserOrderStatus = Schema.Literals(["created", "processed", "failed", "cancelled"]).annotate({
  description: "`created` until the order has ended.",
})
export type UserOrderStatus = typeof UserOrderStatus.Type

export const UserOrder = Schema.Struct({
  order_id: OrderId,
  amount: MoneyText,
  status: UserOrderStatus,
  created_at: Instant,
}).annotate({ identifier: "UserOrder", description: "An order in its user's list." })

export const OrderSummary = Schema.Struct({
  user_id: UserId,
  orders_count: Schema.Natural.annotate({ examples: [2] }),
  total_amount: Total,
}).annotate({ identifier: "OrderSummary", description: "The number and total of the user's orders." })

const path = { id: IdText.annotate({ description: "The user's id." }) }

const soon = "Eventually consistent: reflects an order shortly after it is placed."

const users = HttpApiGroup.make("users")
  .add(
    HttpApiEndpoint.post("create", "/users", {
      headers,
      payload: NewUser,
      success: created(User, "/users/:id"),
      error: [EmailTaken, ...problems],
    }).annotateMerge(OpenApi.annotations({ summary: "Create a user" })),
    HttpApiEndpoint.get("list", "/users", {
      query: PageQuery,
      success: page(User),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({ summary: "List the users", description: "Newest first." })),
    HttpApiEndpoint.get("get", "/users/:id", { params: path, success: User, error: UserNotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get a user" }),
    ),
    HttpApiEndpoint.get("orders", "/users/:id/orders", {
      params: path,
      query: PageQuery,
      success: page(UserOrder),
      error: [UserNotFound, InvalidCursor],
    }).annotateMerge(
      OpenApi.annotations({ summary: "List the orders of a user", description: `Newest first. ${soon}` }),
    ),
    HttpApiEndpoint.get("orderSummary", "/users/:id/order-summary", {
      params: path,
      success: OrderSummary,
      error: UserNotFound,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Sum up the orders of a user",
        description: `Over the orders that are neither failed nor cancelled. ${soon}`,
      }),
    ),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "Users", description: "Users and their orders." }))

export const api = HttpApi.make("galleria").add(users).annotate(HttpApi.ParseOptions, { errors: "all" })
