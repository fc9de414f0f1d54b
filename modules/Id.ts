import { Schema, SchemaTransformation } from "effect"

/** A positive integer up to 2^53 − 1, so that every JSON reader keeps it exactly. */
export const Id = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })).annotate({
  examples: [1],
})

/** An id as text, as in a path or a query: digits without sign or leading zero. */
export const IdText = Schema.String.check(
  Schema.isPattern(/^[1-9]\d{0,15}$/u, { message: "expected an id, such as 42" }),
).pipe(Schema.decodeTo(Id, SchemaTransformation.transform({ decode: Number, encode: String })))
