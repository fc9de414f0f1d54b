import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"

/** A source file: its path from the project's folder, and its text. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

export interface Import {
  readonly from: string
  /** A path from the project's folder, or the name of a package. */
  readonly to: string
}

/** All TypeScript files of these folders. */
export const sourcesIn = (root: string, ...folders: ReadonlyArray<string>): ReadonlyArray<SourceFile> =>
  folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => ({ path: relative(root, file), text: readFileSync(file, "utf8") })),
  )

const specifier = /(?:(?<!\.)\bfrom|\bimport)\s*\(?\s*["']([^"'\n]+)["']/gu

export const importsOf = ({ path, text }: SourceFile): ReadonlyArray<Import> =>
  [...text.matchAll(specifier)].map((match) => {
    const said = match[1]!
    return { from: path, to: said.startsWith(".") ? normalize(join(dirname(path), said)) : said }
  })

/** The folder of the project. */
export const projectFolder = new URL("../..", import.meta.url).pathname
