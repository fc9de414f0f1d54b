import { Schema } from "effect"

const written = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/u, { message: "expected 1 to 64 letters, digits, dots, - or _" }),
).annotate({ examples: ["LAPTOP001"] })

/** A product's id, such as `LAPTOP001`. */
export const ProductId = written.annotate({
  identifier: "ProductId",
  description: "The product's id, as orders name it.",
})

/** A product's id in a path. */
export const ProductIdText = written.annotate({ description: "The product's id." })
