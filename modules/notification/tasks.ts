import { Effect } from "effect"
import { again, done, task } from "../../runtime/module/Task.ts"
import { Notifications, type Sending } from "./Notifications.ts"
import { sending } from "./NotificationStore.ts"

/** Longer than any time-out of the mailer. */
const deadlineMillis = 20_000

export const tasks = [
  task({
    name: sending,
    deadlineMillis,
    begin: (items) => Notifications.use((notifications) => notifications.lettersOf(items.map(({ id }) => id))),
    call: ({ letter }: Sending) => Notifications.use((notifications) => notifications.send(letter)),
    end: (results) =>
      Notifications.use((notifications) =>
        Effect.map(notifications.record(results), (outcomes) =>
          outcomes.map(({ status }) => (status === "pending" ? again : done)),
        ),
      ),
  }),
]
