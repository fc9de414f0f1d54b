import { isStructured } from "../events/cloudEvents.ts"

/** Deeper JSON is shown as text, because code that walks through it might overflow the stack. */
const deepest = 100

/** A decimal number of at most this many digits keeps its value when it is parsed. */
const faithfulDigits = 15

class NotFaithful extends Error {}

/** Whether parsing has kept the value of a number. */
const isFaithful = (value: number, source: string) => {
  if (/^-?\d+$/u.test(source)) return Number.isSafeInteger(value)
  const digits = source.replace(/e.*$/iu, "").replaceAll(".", "").replace(/^-?0*/u, "")
  if (value === 0) return digits === ""
  return digits.length <= faithfulDigits && Number.isFinite(value) && Math.abs(value) > 1e-300
}

const isShallow = (value: unknown, left = deepest): boolean =>
  typeof value !== "object" ||
  value === null ||
  (left > 0 && Object.values(value).every((one) => isShallow(one, left - 1)))

/** JSON.parse with source text access (ECMA-262): its TypeScript type lacks the third parameter. */
const parse = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown

/** The value of JSON text; undefined when it cannot be shown as JSON without a change. */
const readFaithfully = (text: string): unknown => {
  try {
    const value: unknown = parse(text, (_, value, { source }) => {
      if (typeof value === "number" && !isFaithful(value, source!)) throw new NotFaithful()
      return value
    })
    return isShallow(value) ? value : undefined
  } catch {
    // Not JSON, a number whose value would change, or nested too deeply to be parsed.
    return undefined
  }
}

/**
 * The data and the time of a record, to be shown to operators: as JSON where that shows the same value, else as text. Of
 * a structured event both come from its envelope.
 */
export const shownOf = (
  text: string,
  headers: Readonly<Record<string, string>>,
): { readonly data: unknown; readonly time: string | null } => {
  const value = readFaithfully(text)
  if (value === undefined) return { data: text, time: headers["ce_time"] ?? null }
  if (!isStructured(headers) || typeof value !== "object" || value === null) {
    return { data: value, time: headers["ce_time"] ?? null }
  }
  const { data, time } = value as { readonly data?: unknown; readonly time?: unknown }
  return { data: data ?? value, time: typeof time === "string" ? time : null }
}
