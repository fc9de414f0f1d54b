import { Effect, Schema } from "effect"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { DatabaseSync } from "node:sqlite"

/** The data folder is used by another process, or is not accessible. */
class FolderUnusable extends Schema.TaggedError<FolderUnusable>()("FolderUnusable", {
  folder: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the data folder ${this.folder} cannot be used: ${this.reason}`
  }
}

interface Folder {
  /** The path of PostgreSQL's files. */
  readonly postgres: string
  /** Nothing has been stored in it. */
  readonly isNew: boolean
  /** Marks the files as complete. Run it once they are: from then on they are kept. */
  readonly keep: Effect.Effect<void>
}

/**
 * Locks the data folder for this process. The lock is a file lock of the operating system, held by an open SQLite
 * transaction, so it is released when the process ends, however it ends. Incomplete files of a first start that was killed
 * are removed: nothing had been acknowledged yet.
 */
export const takeFolder = (path: string) =>
  Effect.gen(function* () {
    const root = resolve(path)
    const unusable = (reason: string) => new FolderUnusable({ folder: path, reason })
    yield* Effect.try({
      try: () => mkdirSync(root, { recursive: true }),
      catch: (error) => unusable(String(error)),
    })
    yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          const lock = new DatabaseSync(join(root, "lock"), { timeout: 0 })
          lock.exec("pragma journal_mode = memory; begin exclusive")
          return lock
        },
        catch: (error) =>
          unusable(
            String(error).includes("locked")
              ? "another process is using it; stop that one, or set DATA_DIR"
              : String(error),
          ),
      }),
      (lock) => Effect.sync(() => lock.close()),
    )
    const postgres = join(root, "postgres")
    const whole = join(root, "whole")
    const isNew = !existsSync(whole)
    if (isNew) rmSync(postgres, { recursive: true, force: true })
    return { postgres, isNew, keep: Effect.sync(() => writeFileSync(whole, "")) } satisfies Folder
  })
