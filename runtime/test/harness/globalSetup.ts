import { PGlite } from "@electric-sql/pglite"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestProject } from "vitest/node"
import { offerKafka } from "./kafka.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** A file with the data folder of a fresh database, from which a test's own opens in half a second. */
    readonly emptyDatabase: string
    /** A socket that returns the address of this run's Kafka: see `realKafka`. */
    readonly kafkaOffer: string
  }
}

export default async function (project: TestProject) {
  const folder = await mkdtemp(join(tmpdir(), "galleria-"))
  const file = join(folder, "empty.tar")
  const db = await PGlite.create()
  await writeFile(file, Buffer.from(await (await db.dumpDataDir("none")).arrayBuffer()))
  await db.close()
  project.provide("emptyDatabase", file)
  const kafkaOffer = join(folder, "kafka.sock")
  const closeKafka = await offerKafka(kafkaOffer)
  project.provide("kafkaOffer", kafkaOffer)
  return async () => {
    await closeKafka()
    await rm(folder, { recursive: true, force: true })
  }
}
