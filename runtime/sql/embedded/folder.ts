import { Effect, Schema } from "effect"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { DatabaseSync } from "node:sqlite"

/** Another process works in the data folder, or it cannot be used. */
export class FolderUnusable extends Schema.TaggedError<FolderUnusable>()("FolderUnusable", {
  folder: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the data folder ${this.folder} cannot be used: ${this.reason}`
  }
}

export interface Folder {
  /** Where PostgreSQL's files are. */
  readonly postgres: string
  /** Nothing was ever stored here. */
  readonly isNew: boolean
  /** To be called once the files are whole: from then on they are kept. */
  readonly keep: Effect.Effect<void>
}

/**
 * Takes the data folder for this process alone. The lock is a file lock of the operating system, held through an open
 * SQLite transaction, so it is gone the moment its owner is, however it ends. Files of a first start that was killed
 * half-way, when nothing had been acknowledged yet, are removed.
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
