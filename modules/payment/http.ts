import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Page } from "../../runtime/http/Page.ts"
import { api } from "./contract/api.ts"
import { Payments } from "./Payments.ts"

export const http = HttpApiBuilder.group(
  api,
  "payments",
  Effect.fnUntraced(function* (handlers) {
    const payments = yield* Payments
    const page = yield* Page

    return handlers.handleAll({
      list: ({ query }) =>
        page.of({
          list: ["payments", query.order_id, query.user_id, query.status],
          query,
          read: (before, limit) => payments.list(query, before, limit),
          position: (payment) => payment.id,
        }),
      get: ({ params }) => payments.get(params.id),
    })
  }),
)
