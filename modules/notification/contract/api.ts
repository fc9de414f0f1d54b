import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { InvalidCursor, page, PageQuery } from "../../../runtime/http/Page.ts"
import { Edge } from "../../../runtime/http/Problem.ts"
import { IdText } from "../../Id.ts"
import { OrderId } from "../../order/contract/ids.ts"
import { Instant } from "../../Time.ts"
import { UserId } from "../../user/contract/ids.ts"
import { Channel, Kind } from "./events.ts"
import { NotificationId } from "./ids.ts"

export const NotificationStatus = Schema.Literals(["pending", "sent", "failed"]).annotate({
  description: "`pending` until it was sent or has failed, and while its user is unknown.",
})
export type NotificationStatus = typeof NotificationStatus.Type

export const Notification = Schema.Struct({
  id: NotificationId,
  user_id: UserId,
  order_id: Schema.NullOr(OrderId).annotate({ description: "Null for a welcome.", examples: [1] }),
  channel: Channel,
  kind: Kind,
  subject: Schema.String.annotate({ examples: ["We received your order 1"] }),
  body: Schema.String.annotate({
    description: "The plain text of the message.",
    examples: ["Thank you for your order 1 of 999.90 USD. We will write again when something happens to it."],
  }),
  status: NotificationStatus,
  reason: Schema.optionalKey(Schema.String.annotate({ description: "Why it failed." })),
  created_at: Instant,
}).annotate({ identifier: "Notification", description: "A message to a user." })
export type Notification = typeof Notification.Type

const notifications = HttpApiGroup.make("notifications")
  .add(
    HttpApiEndpoint.get("list", "/notifications", {
      query: {
        ...PageQuery,
        user_id: Schema.optionalKey(IdText.annotate({ description: "Only notifications of this user." })),
        order_id: Schema.optionalKey(IdText.annotate({ description: "Only notifications about this order." })),
      },
      success: page(Notification),
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List the notifications",
        description: "Newest first. Filters that match nothing give an empty page.",
      }),
    ),
  )
  .middleware(Edge)
  .annotateMerge(
    OpenApi.annotations({ title: "Notifications", description: "Messages sent to users about their orders." }),
  )

export const api = HttpApi.make("galleria").add(notifications).annotate(HttpApi.ParseOptions, { errors: "all" })
