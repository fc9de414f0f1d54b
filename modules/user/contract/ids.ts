import { Id } from "../../Id.ts"

export const UserId = Id.annotate({ identifier: "UserId" })
export type UserId = typeof UserId.Type
