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
import { makeUpkeep } from "./upkeep.ts"

/** While less is free on the disk, nothing is written: a full disk stops PGlite for good (it spins; seen in 0.5.14). */
const leastFreeBytes = 64 * 1024 * 1024

/**
 * PostgreSQL in this process: one PGlite, which is one session, shared by a client for each schema. A transaction of
 * one client makes all others wait, so nothing may wait for another transaction while it holds one.
 */
export class EmbeddedPostgres extends Context.Service<
  EmbeddedPostgres,
  {
    /** A client whose unqualified names are those of `schema`, which is made if it does not exist. */
    readonly client: (schema: string) => Effect.Effect<PgClient.PgClient, SqlError.SqlError, Scope.Scope>
    /** Fails while the disk is nearly full. */
    readonly writable: Effect.Effect<void, DatabaseUnavailable>
  }
>()("galleria/EmbeddedPostgres") {
  /** Kept in a folder, which this process takes for itself. */
  static readonly layer = (options: { readonly dataDir: string }) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const folder = yield* takeFolder(options.dataDir)
        if (folder.isNew) yield* Effect.logInfo(`Preparing the database in ${options.dataDir}: once, for some seconds`)
        const db = yield* open(() => PGlite.create({ dataDir: folder.postgres }))
        yield* folder.keep
        const postgres = make(db, yield* watchDisk(folder.postgres))
        const turn = makeUpkeep(yield* postgres.client("public"))
        const wake = Latch.makeUnsafe(false)
        yield* Effect.forkScoped(loop({ name: "database.upkeep", turn, wake, poll: "1 second" }))
        return postgres
      }),
    )

  /** In memory, gone with the scope; `snapshot` is a file made by `PGlite.dumpDataDir`, and saves most of the start. */
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
 * The plan of a prepared statement is made once, often while its tables are small, and kept while they grow: every
 * one goes by an index, however few rows there are.
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

/** Error 53100 that names the write-ahead log: the next call would never come back, so the process ends here. */
const endOnFullDisk = (answer: Uint8Array) => {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength)
  if (bytes.indexOf("C53100\0") >= 0 && bytes.indexOf("pg_wal") >= 0) {
    process.stderr.write("The disk is full and the embedded database cannot go on; free some space and start again.\n")
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
            ? Effect.logWarning(`Less than 64 MB are free on the disk of the database; writes are rejected`)
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
