/** The most members of a list in a body. A longer list is rejected before its members are decoded. */
export const mostMembers = 1_000

/** A body of fewer characters has no list that takes long to decode. */
const small = 64 * 1024

/** A body to be decoded by its schema, or the names of members that are too long. */
type Prepared = { readonly text: string } | { readonly tooLong: ReadonlyArray<string> }

/**
 * Checks a body before its schema decodes it: rejects lists that would take too long, and quotes numbers that JSON.parse
 * would round (`quoteInexactNumbers`). Text that is not JSON is returned unchanged.
 */
export const prepare = (text: string): Prepared => {
  const large = text.length > small
  const isInexact = mayBeInexact.test(text)
  if (!large && !isInexact) return { text }
  const body = parse(text)
  if (typeof body !== "object" || body === null) return { text }
  const tooLong = Object.entries(body).flatMap(([name, member]) =>
    Array.isArray(member) && member.length > mostMembers ? [name] : [],
  )
  if (tooLong.length > 0) return { tooLong }
  return { text: isInexact ? quoteInexactNumbers(text) : text }
}

/** A string or a number in JSON. */
const token = /"(?:[^"\\]+|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gu

/** A number in digits with at most two decimals. */
const plain = /^-?\d+(?:\.\d{1,2})?$/u

/** Found in every text with a number that is not plain. */
const mayBeInexact = /\d[eE]|\.\d{3}/u

/**
 * Puts quotation marks around the numbers that are not plain digits with at most two decimals.
 *
 * Works round `JSON.parse`, which makes a double of every number: a schema could not distinguish `1e2` or `99999999.990000001` from
 * a valid amount. As strings they fail its pattern. Can go when the framework lets a decoder of payloads pass a reviver to
 * `JSON.parse`, whose third parameter has the source text of a number (ES2026).
 */
const quoteInexactNumbers = (json: string): string =>
  json.replaceAll(token, (token) => (token.startsWith('"') || plain.test(token) ? token : `"${token}"`))

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
