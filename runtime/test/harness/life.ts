import { PGlite } from "@electric-sql/pglite"
import { Effect, Layer, References } from "effect"
import type { SqlClient } from "effect/sql"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { type Database, Databases } from "../../sql/Database.ts"
import * as EmbeddedDatabase from "../../sql/embedded/EmbeddedDatabase.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"

/** Runs `step` before each request to the embedded database of this process. */
export const beforeEachRequest = (step: () => void): void => {
  // Every way into PGlite goes through this one.
  const execute = Object.getOwnPropertyDescriptor(PGlite.prototype, "execProtocolRawSync")!
  Object.defineProperty(PGlite.prototype, "execProtocolRawSync", {
    ...execute,
    value(this: PGlite, request: Uint8Array) {
      step()
      return execute.value.call(this, request)
    },
  })
}

/** Runs a program on the embedded database in a folder, and prints what it succeeds with. */
export const runLife = async <E>(
  folder: string,
  program: Effect.Effect<string, E, SqlClient.SqlClient | Database>,
): Promise<void> => {
  const drivers = EmbeddedDatabase.layer.pipe(
    Layer.provide(EmbeddedPostgres.layer({ dataDir: folder })),
    Layer.provide(Layer.sync(Loops, makeLoops)),
  )
  const life = Effect.flatMap(Databases, (databases) => Effect.provide(program, databases.of("lives"))).pipe(
    Effect.scoped,
    Effect.provide(drivers),
    Effect.provideService(References.MinimumLogLevel, "None"),
  )
  console.log(await Effect.runPromise(life))
}

/** How a life ended: its exit code or signal, and its output. */
export interface Death {
  readonly end: unknown
  readonly said: string
}

/** Runs `program FOLDER N`. Compiled code is kept in the folder, for a life is mostly its start. */
export const live = (program: URL, folder: string, life: number) =>
  new Promise<Death>((resolve) => {
    const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") }
    const command = [program.pathname, join(folder, "data"), String(life)]
    execFile(process.execPath, command, { env }, (error, stdout, stderr) =>
      resolve({ end: error === null ? 0 : (error.signal ?? error.code), said: `${stdout}${stderr}`.trim() }),
    )
  })
