import { Layer } from "effect"
import { make } from "../../runtime/module/Module.ts"
import { audit } from "./audit.ts"
import { api } from "./contract/api.ts"
import { InventoryRejected, InventoryUpdated } from "./contract/events.ts"
import { http } from "./http.ts"
import { journey } from "./journey.ts"
import { Inventory } from "./Inventory.ts"
import { createInventory } from "./migrations/0001_create_inventory.ts"
import { reactions } from "./reactions.ts"
import { settings } from "./settings.ts"
import { tasks } from "./tasks.ts"

export const inventory = make({
  name: "inventory",
  api,
  publishes: [InventoryUpdated, InventoryRejected],
  reactions,
  tasks,
  audit,
  journey,
  migrations: { "0001_create_inventory": createInventory },
  settings,
  layer: http.pipe(Layer.provideMerge(Inventory.layer)),
})
