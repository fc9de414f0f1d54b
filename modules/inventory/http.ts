import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Page } from "../../runtime/http/Page.ts"
import { api } from "./contract/api.ts"
import { Inventory } from "./Inventory.ts"

export const http = HttpApiBuilder.group(
  api,
  "inventory",
  Effect.fnUntraced(function* (handlers) {
    const inventory = yield* Inventory
    const page = yield* Page

    return handlers.handleAll({
      list: ({ query }) =>
        page.of({ list: ["inventory"], query, read: inventory.list, position: (product) => product.product_id }),
      get: ({ params }) => inventory.get(params.product_id),
      set: ({ params: { product_id }, payload }) =>
        Effect.map(inventory.set(product_id, payload), ({ isNew, product }) =>
          isNew
            ? HttpApiSchema.withHeaders({ body: product, headers: { location: `/inventory/${product_id}` } })
            : product,
        ),
    })
  }),
)
