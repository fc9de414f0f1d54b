/** A value in JSON text: the members and items that lead to it, and where its text begins and ends. */
export interface PlacedValue {
  readonly path: ReadonlyArray<string | number>
  readonly start: number
  readonly end: number
}

const token = /"(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gu

/** An object or a list that is not at its end; `at` is the member or item that is read. */
interface Open {
  readonly start: number
  readonly isList: boolean
  at: string | number
}

/** The values of valid JSON text that are at most `depth` levels deep, each after what it contains. */
export function* valuesIn(json: string, depth: number): Generator<PlacedValue> {
  const open: Array<Open> = []
  let isName = false
  const placed = (start: number, end: number) => ({ path: open.map(({ at }) => at), start, end })
  for (const { 0: text, index: start } of json.matchAll(token)) {
    const end = start + text.length
    if (text === "{" || text === "[") {
      open.push({ start, isList: text === "[", at: text === "[" ? 0 : "" })
      isName = text === "{"
    } else if (text === "}" || text === "]") {
      const { start } = open.pop()!
      isName = false
      if (open.length <= depth) yield placed(start, end)
    } else if (text === ",") {
      const inner = open.at(-1)!
      if (typeof inner.at === "number") inner.at++
      isName = !inner.isList
    } else if (text === ":") {
      isName = false
    } else if (isName) {
      open.at(-1)!.at = JSON.parse(text) as string
    } else if (open.length <= depth) {
      yield placed(start, end)
    }
  }
}

/** A member of a valid JSON object, as `JSON.parse` reads it: of two with one name the last. */
export const memberIn = (json: string, name: string): PlacedValue | undefined => {
  let found: PlacedValue | undefined
  for (const value of valuesIn(json, 1)) if (value.path.length === 1 && value.path[0] === name) found = value
  return found
}

/** The text with other texts in places that do not overlap, in their order. */
export const replaced = (
  text: string,
  places: ReadonlyArray<{ readonly start: number; readonly end: number; readonly by: string }>,
): string => {
  let at = 0
  const parts: Array<string> = []
  for (const { start, end, by } of places) {
    parts.push(text.slice(at, start), by)
    at = end
  }
  return parts.join("") + text.slice(at)
}
