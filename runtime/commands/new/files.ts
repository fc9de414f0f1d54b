import { dirname, relative } from "node:path"

/** Files by their paths from the project's folder. */
export type Files = Readonly<Record<string, string>>

/** Resolves imports that begin with `~/`, the project's folder, for the place of the file. */
export const placed = (files: Files): Files =>
  Object.fromEntries(
    Object.entries(files).map(([path, text]) => [
      path,
      text.replaceAll(/"~\/([^"]+)"/gu, (_, to: string) => {
        const from = relative(dirname(path), to)
        return `"${from.startsWith(".") ? from : `./${from}`}"`
      }),
    ]),
  )

/** Inserts text before the first match of an anchor; fails where there is none. */
export const before = (text: string, anchor: RegExp, inserted: string): string => {
  const at = text.search(anchor)
  if (at === -1) throw new Error(`the text has no ${anchor.source}`)
  return text.slice(0, at) + inserted + text.slice(at)
}

/** Adds an import after the others. */
export const withImport = (source: string, line: string): string => {
  const lines = source.split("\n")
  const last = lines.findLastIndex((one) => /^(?:import\b|\} from )/u.test(one))
  if (last === -1) return `${line}\n\n${source}`
  return [...lines.slice(0, last + 1), line, ...lines.slice(last + 1)].join("\n")
}
