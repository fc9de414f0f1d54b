/** The JSON Schema of the body of `POST /orders`, as it is written by hand. */
export const newOrder = {
  type: "object",
  required: ["user_id", "amount"],
  properties: {
    user_id: { type: "integer", minimum: 1 },
    amount: { type: "string", pattern: String.raw`^(0|[1-9]\d{0,7})(\.\d{1,2})?$` },
  },
} as const
