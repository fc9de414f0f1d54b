import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { patched } from "../mutants/Mutant.ts"

const root = new URL("../../..", import.meta.url).pathname
const notCopied = new Set(["node_modules", ".git", ".cache", ".data"])

/** A copy of the project that shares its packages. It is removed when it goes out of scope (`using`). */
export const copyOfProject = () => {
  const folder = mkdtempSync(join(tmpdir(), "galleria-copy-"))
  cpSync(root, folder, { recursive: true, filter: (path) => !notCopied.has(basename(path)) })
  symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"))
  return {
    folder,
    /** Replaces a text that is in the file exactly once. */
    change: (file: string, find: string, replace: string) => {
      const text = patched(readFileSync(join(folder, file), "utf8"), { find, replace })
      if (text === undefined) throw new Error(`${file} does not have this text exactly once: ${find}`)
      writeFileSync(join(folder, file), text)
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }),
  }
}
