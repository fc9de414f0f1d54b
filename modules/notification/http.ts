import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Page } from "../../runtime/http/Page.ts"
import { api } from "./contract/api.ts"
import { Notifications } from "./Notifications.ts"

export const http = HttpApiBuilder.group(
  api,
  "notifications",
  Effect.fnUntraced(function* (handlers) {
    const notifications = yield* Notifications
    const page = yield* Page

    return handlers.handleAll({
      list: ({ query }) =>
        page.of({
          list: ["notifications", query.user_id, query.order_id],
          query,
          read: (before, limit) => notifications.list(query, before, limit),
          position: (notification) => notification.id,
        }),
    })
  }),
)
