import { Schema, SchemaTransformation } from "effect"

const iso = /^(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/u

/** Text without a zone is UTC, whatever the process's time zone. */
export const instantOf = (text: string) => new Date(iso.exec(text)?.[2] === undefined ? `${text}Z` : text)

/** Whether the date and the time exist: JavaScript parses February 30 as March 2. */
const isIso = (text: string) => {
  const day = iso.exec(text)?.[1]
  return (
    day !== undefined &&
    new Date(`${day}T00:00Z`).getUTCDate() === Number(day.slice(-2)) &&
    Number.isFinite(instantOf(text).getTime())
  )
}

/** The text of an instant, for parameters of a query, whose documentation does not show the decoded type. */
export const InstantText = Schema.String.check(
  Schema.makeFilter((text: string) => isIso(text) || "expected a date and time such as 2026-01-02T03:04:05Z", {
    toJsonSchema: () => ({ format: "date-time" }),
  }),
)

/** An instant of an administrative call: ISO 8601, written in UTC with milliseconds. */
export const Instant = InstantText.pipe(
  Schema.decodeTo(Schema.Date, SchemaTransformation.transform({ decode: instantOf, encode: (at) => at.toISOString() })),
  Schema.annotateEncoded({ examples: ["2026-01-02T03:04:05.678Z"] }),
)
