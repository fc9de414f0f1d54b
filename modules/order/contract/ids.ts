import { Id } from "../../Id.ts"

export const OrderId = Id.annotate({ identifier: "OrderId", description: "An order, by a positive integer." })
export type OrderId = typeof OrderId.Type
