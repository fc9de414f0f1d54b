import { isStructured } from "../events/cloudEvents.ts"

/** Deeper JSON is shown as text: whatever walks through it would overflow sooner or later. */
const deepest = 100

/** A decimal number of so many digits is the same number once it was read. */
const faithfulDigits = 15

class NotFaithful extends Error {}

/** Whether a number is read as the one that was written. */
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

/** As Node has it (ECMA-262, JSON.parse with source text access); its type does not know the third parameter yet. */
const parse = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown

/** What JSON says, undefined where it cannot be shown as JSON without a change. */
const readFaithfully = (text: string): unknown => {
  try {
    const value: unknown = parse(text, (_, value, { source }) => {
      if (typeof value === "number" && !isFaithful(value, source!)) throw new NotFaithful()
      return value
    })
    return isShallow(value) ? value : undefined
  } catch {
    // No JSON, a number that is not what was written, or nested too deeply even to be read.
    return undefined
  }
}

/**
 * What a record says, and when it was told, to be shown: of a structured event what its envelope says of it. Of
 * foreigners it is shown and never interpreted: as JSON where that is the same, else as the text that came.
 */
export const shownOf = (
  text: string,
  headers: Readonly<Record<string, string>>,
): { readonly data: unknown; readonly time: string | null } => {
  const said = readFaithfully(text)
  if (said === undefined) return { data: text, time: headers["ce_time"] ?? null }
  if (!isStructured(headers) || typeof said !== "object" || said === null) {
    return { data: said, time: headers["ce_time"] ?? null }
  }
  const { data, time } = said as { readonly data?: unknown; readonly time?: unknown }
  return { data: data ?? said, time: typeof time === "string" ? time : null }
}
