import { Id } from "../../Id.ts"

export const NotificationId = Id.annotate({
  identifier: "NotificationId",
  description: "A notification, by a positive integer.",
})
export type NotificationId = typeof NotificationId.Type
