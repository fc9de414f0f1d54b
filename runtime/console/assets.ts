import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { promisify } from "node:util"
import { brotliCompress, constants } from "node:zlib"

/** A file of the page, as it is served. */
export interface Asset {
  readonly type: string
  readonly bytes: Buffer
  /** Compressed at the first request, so that a start does not wait for it. */
  readonly brotli: () => Promise<Buffer>
}

const types: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
}

const folder = new URL("page/", import.meta.url)

/** The packages of the page, by the names that its modules import. */
const packages = { preact: "preact.js", "preact/hooks": "hooks.js", htm: "htm.js", "htm/preact": "htm-preact.js" }

const hashOf = (parts: ReadonlyArray<string | Buffer>) => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash
}

/** A module without the comments that begin a line: a fifth of what is sent would be comments. */
export const withoutComments = (source: string) => source.replaceAll(/^[ \t]*\/\*\*[\s\S]*?\*\/\n?/gmu, "")

/** It takes a third of a second for all files, once and beside the loop. */
const bestBrotli = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } }

const assetOf = (name: string, bytes: Buffer): Asset => {
  let brotli: Promise<Buffer> | undefined
  return {
    type: types[name.slice(name.lastIndexOf(".") + 1)]!,
    bytes,
    brotli: () => (brotli ??= promisify(brotliCompress)(bytes, bestBrotli)),
  }
}

/**
 * The files of the page, read into memory once. `base` is the folder they are served under; it contains a hash of all of
 * them, so that browsers may keep them for ever.
 */
export const readAssets = () => (whole ??= read())

let whole: ReturnType<typeof read> | undefined

const read = () => {
  const own = readdirSync(folder)
    .filter((name) => /\.(?:js|css|svg)$/u.test(name))
    .sort()
    .map((name) => [name, Buffer.from(withoutComments(readFileSync(new URL(name, folder), "utf8")))] as const)
  const foreign = Object.entries(packages).map(
    ([name, file]) => [file, readFileSync(new URL(import.meta.resolve(name)))] as const,
  )
  const files = [...own, ...foreign]
  const base = `/console/app/${hashOf(files.flat()).digest("hex").slice(0, 16)}`
  const imports = Object.fromEntries(Object.entries(packages).map(([name, file]) => [name, `${base}/${file}`]))
  const importMap = JSON.stringify({ imports })
  return {
    base,
    importMap,
    importMapHash: hashOf([importMap]).digest("base64"),
    modules: files.map(([name]) => name).filter((name) => name.endsWith(".js") && name !== "theme.js"),
    byPath: new Map(files.map(([name, bytes]) => [`${base}/${name}`, assetOf(name, bytes)])),
  }
}

export type Assets = ReturnType<typeof readAssets>
