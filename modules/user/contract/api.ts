import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { answerHeaders, headers, problems } from "../../../runtime/http/Idempotency.ts"
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
  { slug: "user-not-found", status: 404, title: "User not found", detail: "There is no user of this id." },
  { user_id: UserId },
) {}

export class EmailTaken extends declare<EmailTaken>()("EmailTaken", {
  slug: "email-taken",
  status: 409,
  title: "E-mail taken",
  detail: "A user with this e-mail address exists; upper and lower case make no difference.",
}) {}

export const NewUser = Schema.Struct({ email: Email, name: text(200) }).annotate({ identifier: "NewUser" })

export const User = Schema.Struct({
  id: UserId,
  email: Schema.String,
  name: Schema.String,
  created_at: Instant,
}).annotate({ identifier: "User" })
export type User = typeof User.Type

export const UserOrderStatus = Schema.Literals(["created", "processed", "failed", "cancelled"])
export type UserOrderStatus = typeof UserOrderStatus.Type

export const UserOrder = Schema.Struct({
  order_id: OrderId,
  amount: MoneyText,
  status: UserOrderStatus,
  created_at: Instant,
}).annotate({ identifier: "UserOrder" })

export const OrderSummary = Schema.Struct({
  user_id: UserId,
  orders_count: Schema.Int,
  total_amount: Total,
}).annotate({ identifier: "OrderSummary" })

const path = { id: IdText }

const users = HttpApiGroup.make("users")
  .add(
    HttpApiEndpoint.post("create", "/users", {
      headers,
      payload: NewUser,
      success: HttpApiSchema.WithHeaders(User.pipe(HttpApiSchema.status(201)), answerHeaders),
      error: [EmailTaken, ...problems],
    }),
    HttpApiEndpoint.get("list", "/users", { query: PageQuery, success: page(User), error: InvalidCursor }),
    HttpApiEndpoint.get("get", "/users/:id", { params: path, success: User, error: UserNotFound }),
    HttpApiEndpoint.get("orders", "/users/:id/orders", {
      params: path,
      query: PageQuery,
      success: page(UserOrder),
      error: [UserNotFound, InvalidCursor],
    }),
    HttpApiEndpoint.get("orderSummary", "/users/:id/order-summary", {
      params: path,
      success: OrderSummary,
      error: UserNotFound,
    }),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "Users" }))

export const api = HttpApi.make("galleria").add(users).annotate(HttpApi.ParseOptions, { errors: "all" })
