import { Id } from "../../Id.ts"

export const UserId = Id.annotate({ identifier: "UserId", description: "A user, by a positive integer." })
export type UserId = typeof UserId.Type
