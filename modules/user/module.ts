import { Layer } from "effect"
import { make } from "../../runtime/module/Module.ts"
import { audit } from "./audit.ts"
import { api } from "./contract/api.ts"
import { UserCreated, UserOrderSummaryUpdated } from "./contract/events.ts"
import { http } from "./http.ts"
import { journey } from "./journey.ts"
import { createUsers } from "./migrations/0001_create_users.ts"
import { reactions } from "./reactions.ts"
import { Users } from "./Users.ts"

export const user = make({
  name: "user",
  api,
  publishes: [UserCreated, UserOrderSummaryUpdated],
  reactions,
  audit,
  journey,
  migrations: { "0001_create_users": createUsers },
  layer: http.pipe(Layer.provideMerge(Users.layer)),
})
