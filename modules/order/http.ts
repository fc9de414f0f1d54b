import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Idempotency } from "../../runtime/http/Idempotency.ts"
import { Page } from "../../runtime/http/Page.ts"
import { api } from "./contract/api.ts"
import { Orders } from "./Orders.ts"

export const http = HttpApiBuilder.group(
  api,
  "orders",
  Effect.fnUntraced(function* (handlers) {
    const orders = yield* Orders
    const idempotency = yield* Idempotency
    const page = yield* Page

    return handlers.handleAll({
      place: (asked) => idempotency.once(asked, (claim) => orders.place(asked.payload, claim)),
      list: ({ query }) =>
        page.of({
          list: ["orders", query.user_id, query.status],
          query,
          read: (before, limit) => orders.list(query, before, limit),
          position: (order) => order.id,
        }),
      get: ({ params }) => orders.get(params.id),
      cancel: ({ params, payload }) => orders.cancel(params.id, payload?.reason),
      history: ({ params: { id }, query }) =>
        page.of({
          list: ["order history", id],
          query,
          read: (after, limit) => orders.history(id, after, limit),
          position: (entry) => String(entry.pos),
          rowsAtOnce: 16,
        }),
    })
  }),
)
