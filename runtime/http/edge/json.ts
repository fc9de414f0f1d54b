/** No list that anybody is to send us is longer; a longer one is refused before its members are looked at. */
export const mostMembers = 1_000

/** Below this many characters no list can be long enough to take time. */
const small = 64 * 1024

const token = /"(?:[^"\\]+|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gu
const plain = /^-?\d+(?:\.\d{1,2})?$/u
const perhapsNotPlain = /\d[eE]|\.\d{3}/u

/** A body as its schema is to see it: the text again, or the names of members that are too long. */
export type Prepared = { readonly text: string } | { readonly tooLong: ReadonlyArray<string> }

/**
 * Looks at a body before its schema does, for what a schema cannot see or would take too long to see.
 *
 * A number that is not written in plain digits with at most two places becomes a string: parsed it would be a float,
 * and `1e2` or `99999999.990000001` could not be told from the amounts that they are not. Text that is no JSON stays
 * as it is.
 */
export const prepare = (text: string): Prepared => {
  const large = text.length > small
  const odd = perhapsNotPlain.test(text)
  if (!large && !odd) return { text }
  const body = parse(text)
  if (typeof body !== "object" || body === null) return { text }
  const tooLong = Object.entries(body).flatMap(([name, member]) =>
    Array.isArray(member) && member.length > mostMembers ? [name] : [],
  )
  if (tooLong.length > 0) return { tooLong }
  return { text: odd ? text.replaceAll(token, quoted) : text }
}

const quoted = (token: string) => (token.startsWith('"') || plain.test(token) ? token : `"${token}"`)

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
