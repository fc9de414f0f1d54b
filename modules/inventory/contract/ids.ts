import { Schema } from "effect"

/** A product as people name it, such as `LAPTOP001`. */
export const ProductId = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/u, { message: "expected 1 to 64 letters, digits, dots, - or _" }),
).annotate({
  identifier: "ProductId",
  description: "The name by which people order it.",
  examples: ["LAPTOP001"],
})
