import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Idempotency } from "../../runtime/http/Idempotency.ts"
import { Page } from "../../runtime/http/Page.ts"
import { api } from "./contract/api.ts"
import { Users } from "./Users.ts"

export const http = HttpApiBuilder.group(
  api,
  "users",
  Effect.fnUntraced(function* (handlers) {
    const users = yield* Users
    const idempotency = yield* Idempotency
    const page = yield* Page

    return handlers.handleAll({
      create: (asked) => idempotency.once(asked, (claim) => users.create(asked.payload, claim)),
      list: ({ query }) => page.of({ list: ["users"], query, read: users.list, position: (user) => user.id }),
      get: ({ params }) => users.get(params.id),
      orders: ({ params: { id }, query }) =>
        page.of({
          list: ["user orders", id],
          query,
          read: (before, limit) => users.ordersOf(id, before, limit),
          position: (order) => order.order_id,
        }),
      orderSummary: ({ params }) => users.summaryOf(params.id),
    })
  }),
)
