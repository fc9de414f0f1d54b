import { Schema } from "effect"

/** An instant on the wire: an ISO 8601 string, written in UTC with milliseconds. */
export const Instant = Schema.DateFromString.check(
  Schema.makeFilter(
    (at: Date) => (at.getTime() >= 0 && at.getUTCFullYear() < 10_000) || "expected a time between 1970 and 9999",
  ),
).pipe(Schema.annotateEncoded({ format: "date-time" }))
