import { Id } from "../../Id.ts"

export const PaymentId = Id.annotate({ identifier: "PaymentId", description: "A payment, by a positive integer." })
