import { Schema } from "effect"

const written = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/u, { message: "expected 1 to 64 letters, digits, dots, - or _" }),
).annotate({ examples: ["LAPTOP001"] })

/** A product as people name it, such as `LAPTOP001`. */
export const ProductId = written.annotate({
  identifier: "ProductId",
  description: "The name by which people order it.",
})

/** The same as part of a path. */
export const ProductIdText = written.annotate({ description: "The product's id." })
