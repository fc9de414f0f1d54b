import { Layer } from "effect"
import { make } from "../../runtime/module/Module.ts"
import { audit } from "./audit.ts"
import { api } from "./contract/api.ts"
import { OrderCancelled, OrderCreated, OrderFailed, OrderProcessed } from "./contract/events.ts"
import { http } from "./http.ts"
import { journey } from "./journey.ts"
import { createOrders } from "./migrations/0001_create_orders.ts"
import { Orders } from "./Orders.ts"
import { reactions } from "./reactions.ts"
import { settings } from "./settings.ts"

export const order = make({
  name: "order",
  api,
  publishes: [OrderCreated, OrderCancelled, OrderProcessed, OrderFailed],
  reactions,
  audit,
  journey,
  migrations: { "0001_create_orders": createOrders },
  settings,
  layer: http.pipe(Layer.provideMerge(Orders.layer)),
})
