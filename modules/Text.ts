import { Schema } from "effect"

const storable = Schema.makeFilter(
  (text: string) => (text.isWellFormed() && !text.includes("\u0000")) || "expected text without NUL or lone surrogates",
)

const visible = Schema.makeFilter((text: string) => text.trim() !== "" || "expected more than white space", {
  toJsonSchema: () => ({ minLength: 1, pattern: "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$" }),
})

/** Human text of 1 to `most` characters (code points), not only white space, that every database can store. */
export const text = (most: number) => Schema.String.check(visible, storable, Schema.isMaxCodePoints(most))

/**
 * An e-mail address that a mail server would take: the HTML standard's pattern (ASCII, one @), a domain of two labels
 * or more, at most 254 characters (RFC 5321 §4.5.3.1.3).
 */
export const Email = Schema.String.check(
  Schema.isPattern(
    /^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/u,
    { message: "expected an e-mail address, such as ada@example.org" },
  ),
  Schema.isMaxLength(254),
).annotate({ examples: ["ann@example.com"] })
