import { Layer } from "effect"
import { make } from "../../runtime/module/Module.ts"
import { audit } from "./audit.ts"
import { api } from "./contract/api.ts"
import { NotificationSent } from "./contract/events.ts"
import { http } from "./http.ts"
import { journey } from "./journey.ts"
import { Mailer } from "./Mailer.ts"
import { createNotifications } from "./migrations/0001_create_notifications.ts"
import { Notifications } from "./Notifications.ts"
import { reactions } from "./reactions.ts"
import { mailer, settings } from "./settings.ts"
import { tasks } from "./tasks.ts"

export const notification = make({
  name: "notification",
  api,
  publishes: [NotificationSent],
  reactions,
  tasks,
  checks: [
    {
      name: "mail",
      applies: Mailer.useSync(({ channel }) => channel === "email"),
      fault: Mailer.use(({ fault }) => fault),
    },
  ],
  audit,
  journey,
  migrations: { "0001_create_notifications": createNotifications },
  settings,
  layer: http.pipe(Layer.provideMerge(Notifications.layer), Layer.provideMerge(mailer)),
})
