import { Schema } from "effect"

/** The C0 and C1 control characters and DEL, among them line breaks and tabs. */
const control = "\\u0000-\\u001f\\u007f-\\u009f"
const isPrintable = new RegExp(`^[^${control}]*$`, "u")
const controls = new RegExp(`[${control}]+`, "gu")

const printable = Schema.makeFilter(
  (text: string) =>
    (text.isWellFormed() && isPrintable.test(text)) || "expected text without control characters or lone surrogates",
)

const visible = Schema.makeFilter((text: string) => text.trim() !== "" || "expected more than white space", {
  toJsonSchema: () => ({ minLength: 1, pattern: `^[^${control}]*[^\\s${control}][^${control}]*$` }),
})

/** Human text in one line: 1 to `most` characters (code points), not only white space, no control characters. */
export const text = (most: number) => Schema.String.check(visible, printable, Schema.isMaxCodePoints(most))

/** Foreign text as one line: control characters become spaces, lone surrogates are replaced, cut to `most` code points. */
export const inOneLine = (foreign: string, most: number): string => {
  const printable = foreign.toWellFormed().replaceAll(controls, " ").trim()
  return Array.from(printable).slice(0, most).join("")
}

/**
 * An e-mail address that mail servers accept: the HTML standard's pattern (ASCII, one @), a domain of two labels
 * or more, at most 254 characters (RFC 5321 §4.5.3.1.3).
 */
export const Email = Schema.String.check(
  Schema.isPattern(
    /^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/u,
    { message: "expected an e-mail address, such as ada@example.org" },
  ),
  Schema.isMaxLength(254),
).annotate({ examples: ["ann@example.com"] })
