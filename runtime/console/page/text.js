/** At most this many characters of a foreign text are shown. */
const mostShown = 65_536

/** C0 but tab and line feed, DEL, C1, marks and overrides of direction, and what has no width. */
const unseen =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu

/**
 * A foreign value as text that shows every character: those that would be invisible, or turn the text around, appear as
 * their escapes.
 *
 * @param {unknown} value
 */
export const plainOf = (value) => {
  const text = textOf(value)
  const cut = text.length > mostShown ? `${text.slice(0, mostShown)}… ${text.length - mostShown} characters more` : text
  return cut.replaceAll(unseen, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

/** @param {unknown} value */
const textOf = (value) => {
  if (typeof value === "string") return value
  return value === undefined || value === null ? "" : JSON.stringify(value)
}

/**
 * @typedef {"key" | "string" | "number" | "word" | "mark" | "space" | "hidden" | "text"} TokenKind
 * @typedef {{ kind: TokenKind, text: string }} Token
 */

const piece = /"(?:[^"\\]|\\[\s\S])*"|-?\d[\d.eE+-]*|[A-Za-z]+|[{}[\]:,]|\s+|[\s\S]/gu

/**
 * JSON text with line breaks and indentation. No character of a value is changed: numbers keep all their digits,
 * strings their escapes. What the server has hidden becomes a token of its own. Text that is not JSON comes back as it is.
 *
 * @param {string} json
 * @returns {ReadonlyArray<Token>}
 */
export const tokensOf = (json) => {
  const pieces = (json.match(piece) ?? []).filter((text) => !/^\s+$/u.test(text))
  if (!isJson(json)) return [{ kind: "text", text: json }]
  /** @type {Array<Token>} */
  const tokens = []
  let depth = 0
  const line = () => tokens.push({ kind: "space", text: `\n${"  ".repeat(depth)}` })
  for (let at = 0; at < pieces.length; at++) {
    const text = /** @type {string} */ (pieces[at])
    const next = pieces[at + 1]
    if (text === "{" && next === `"hidden"` && pieces[at + 2] === ":" && pieces[at + 4] === "}") {
      tokens.push({ kind: "hidden", text: JSON.parse(pieces[at + 3] ?? `""`) })
      at += 4
    } else if ((text === "{" && next === "}") || (text === "[" && next === "]")) {
      tokens.push({ kind: "mark", text: `${text}${next}` })
      at++
    } else if (text === "{" || text === "[") {
      tokens.push({ kind: "mark", text })
      depth++
      line()
    } else if (text === "}" || text === "]") {
      depth--
      line()
      tokens.push({ kind: "mark", text })
    } else if (text === ",") {
      tokens.push({ kind: "mark", text })
      line()
    } else if (text === ":") tokens.push({ kind: "mark", text: ": " })
    else if (text.startsWith(`"`)) tokens.push({ kind: next === ":" ? "key" : "string", text })
    else tokens.push({ kind: /^[-\d]/u.test(text) ? "number" : "word", text })
  }
  return tokens
}

/** @param {string} text */
const isJson = (text) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/**
 * An id, shortened in the middle.
 *
 * @param {string} id
 */
export const shortOf = (id) => (id.length > 16 ? `${id.slice(0, 4)}…${id.slice(-6)}` : id)
