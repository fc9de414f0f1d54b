import { PGlite } from "@electric-sql/pglite"
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Latch, Layer, Redacted, Schedule, type Scope } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { SqlError } from "effect/sql"
import { readFile, statfs } from "node:fs/promises"
import { loop } from "../../loop/loop.ts"
import { DatabaseUnavailable } from "../Database.ts"
import { type Gate, pgliteDuplex } from "./duplex.ts"
import { takeFolder } from "./folder.ts"
import { makeUpkeep, mostIndexBytes } from "./upkeep.ts"

/** With less free space on the disk writes are rejected: on a full disk PGlite spins for ever (seen in 0.5.14). */
const leastFreeBytes = 64 * 1024 * 1024

/**
 * PostgreSQL in this process: one PGlite, with one session, shared by a client for each schema. All others wait for the
 * transaction of one client, so a transaction must not wait for another one.
 */
export class EmbeddedPostgres extends Context.Service<
  EmbeddedPostgres,
  {
    /** A client whose `search_path` is `schema`, which is created if it does not exist. */
    readonly client: (schema: string) => Effect.Effect<PgClient.PgClient, SqlError.SqlError, Scope.Scope>
    /** Fails while the disk is nearly full. */
    readonly writable: Effect.Effect<void, DatabaseUnavailable>
  }
>()("galleria/EmbeddedPostgres") {
  /** In a folder, which is locked for this process. */
  static readonly layer = (options: { readonly dataDir: string }) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const folder = yield* takeFolder(options.dataDir)
        if (folder.isNew)
          yield* Effect.logInfo(`Preparing the database in ${options.dataDir}; this takes some seconds, once`)
        const db = yield* open(() => PGlite.create({ dataDir: folder.postgres }))
        yield* folder.keep
        const postgres = make(db, yield* watchDisk(folder.postgres))
        const turn = makeUpkeep(yield* postgres.client("public"), mostIndexBytes)
        const wake = Latch.makeUnsafe(false)
        yield* Effect.forkScoped(loop({ name: "database.upkeep", turn, wake, poll: "1 second" }))
        return postgres
      }),
    )

  /** In memory, until the scope closes. `snapshot` is a file made by `PGlite.dumpDataDir`, which makes the start faster. */
  static readonly layerMemory = (options: { readonly snapshot?: string } = {}) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const { snapshot } = options
        const db = yield* open(async () =>
          PGlite.create(snapshot === undefined ? {} : { loadDataDir: new Blob([await readFile(snapshot)]) }),
        )
        return make(db, Effect.void)
      }),
    )
}

/**
 * Forces generic plans that use indexes: a prepared statement is planned once, often while its tables are small, and keeps
 * its plan while they grow.
 */
const session = `
  set plan_cache_mode = force_generic_plan; set random_page_cost = 1.1;
  set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off`

const open = (create: () => Promise<PGlite>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const db = await create()
      await db.exec(session)
      return db
    }),
    (db) => Effect.promise(() => db.close()),
  )

const make = (db: PGlite, writable: Effect.Effect<void, DatabaseUnavailable>): EmbeddedPostgres["Service"] => {
  const gate: Gate = { tail: Promise.resolve(), schema: undefined }
  const client = (schema: string) =>
    Effect.gen(function* () {
      const pg = yield* PgClient.make({
        stream: () => pgliteDuplex({ db, gate, schema, onAnswer: endOnFullDisk }),
        username: "postgres",
        password: Redacted.make("unused"),
        database: schema,
        minConnections: 1,
        maxConnections: 1,
        connectionTTL: Duration.infinity,
      })
      yield* pg`create schema if not exists ${pg(schema)}`
      return pg
    }).pipe(Effect.provide(Reactivity.layer))
  return { client, writable }
}

/** Ends the process at error 53100 (disk full) of the write-ahead log: the next call of PGlite would never return. */
const endOnFullDisk = (answer: Uint8Array) => {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength)
  if (bytes.indexOf("C53100\0") >= 0 && bytes.indexOf("pg_wal") >= 0) {
    process.stderr.write("The disk is full and the embedded database cannot continue; free some space and restart.\n")
    process.exit(1)
  }
}

const watchDisk = (path: string) =>
  Effect.gen(function* () {
    let free = Number.POSITIVE_INFINITY
    const look = Effect.promise(async () => {
      const disk = await statfs(path)
      const before = free
      free = disk.bavail * disk.bsize
      return before < leastFreeBytes !== free < leastFreeBytes
    }).pipe(
      Effect.flatMap((changed) =>
        !changed
          ? Effect.void
          : free < leastFreeBytes
            ? Effect.logWarning("Less than 64 MB are free on the disk of the database; writes are rejected")
            : Effect.logInfo("The disk has room again; writes are accepted"),
      ),
    )
    yield* look
    yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced("500 millis")))
    return Effect.suspend(() =>
      free < leastFreeBytes
        ? Effect.fail(new DatabaseUnavailable({ reason: "the disk of the database is nearly full" }))
        : Effect.void,
    )
  })
