import { Schema } from "effect"

/** An instant on the wire: ISO 8601, in UTC. */
export const Instant = Schema.DateFromString.pipe(Schema.annotateEncoded({ format: "date-time" }))
