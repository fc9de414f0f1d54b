import { Id } from "../../Id.ts"

export const OrderId = Id.annotate({ identifier: "OrderId" })
export type OrderId = typeof OrderId.Type
