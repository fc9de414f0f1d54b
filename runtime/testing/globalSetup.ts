import { PGlite } from "@electric-sql/pglite"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestProject } from "vitest/node"

declare module "vitest" {
  export interface ProvidedContext {
    /** A file with the data folder of a fresh database, from which a test's own opens in half a second. */
    readonly emptyDatabase: string
  }
}

export default async function (project: TestProject) {
  const folder = await mkdtemp(join(tmpdir(), "galleria-"))
  const file = join(folder, "empty.tar")
  const db = await PGlite.create()
  await writeFile(file, Buffer.from(await (await db.dumpDataDir("none")).arrayBuffer()))
  await db.close()
  project.provide("emptyDatabase", file)
  return () => rm(folder, { recursive: true, force: true })
}
