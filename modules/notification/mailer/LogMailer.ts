import { Effect, Layer } from "effect"
import { Mailer } from "../Mailer.ts"

/** Writes a log line with ids only for each letter; sends nothing. */
export const layer = Layer.succeed(Mailer, {
  channel: "log",
  send: ({ kind, notification_id, user_id, order_id }) =>
    Effect.logInfo(
      `[NotificationService] Sent ${kind} notification: ${JSON.stringify({
        notification_id,
        user_id,
        ...(order_id === null ? {} : { order_id }),
      })}`,
    ),
  fault: Effect.undefined,
})
