import { Schema, SchemaTransformation } from "effect"

const iso = /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/u

/** Whether the date exists: JavaScript parses February 30 as March 2. */
const isIso = (text: string) => {
  const date = iso.exec(text)?.[1]
  if (date === undefined) return false
  const day = Number(date.slice(-2))
  return day <= 28 || new Date(`${date}T00:00Z`).getUTCDate() === day
}

/** Text without a zone is UTC, whatever the process's time zone. */
const dateOf = (text: string) => new Date(iso.exec(text)?.[2] === undefined ? `${text}Z` : text)

/** An instant on the wire: an ISO 8601 date and time between 1970 and 9999, written in UTC with milliseconds. */
export const Instant = Schema.String.check(
  Schema.makeFilter((text: string) => isIso(text) || "expected a date and time such as 2026-01-02T03:04:05Z", {
    toJsonSchema: () => ({ format: "date-time" }),
  }),
).pipe(
  Schema.decodeTo(
    Schema.Date.check(
      Schema.makeFilter(
        (at: Date) => (at.getTime() >= 0 && at.getUTCFullYear() < 10_000) || "expected a time between 1970 and 9999",
      ),
    ),
    SchemaTransformation.transform({ decode: dateOf, encode: (at) => at.toISOString() }),
  ),
  Schema.annotateEncoded({ examples: ["2026-01-02T03:04:05.678Z"] }),
)
