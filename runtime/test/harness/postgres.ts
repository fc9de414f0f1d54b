import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { SqlError } from "effect/sql"
import { afterAll } from "vitest"
import { Databases } from "../../sql/Database.ts"
import { databaseAt } from "../../sql/postgres/PostgresDatabase.ts"
import { notTested, type Postgres, type Release, startPostgres } from "./postgresServer.ts"

/**
 * The URL of a real PostgreSQL for this test file: `TEST_DATABASE_URL`, else a server in a temporary folder that is
 * stopped and removed after the file, however it ends. Where none can be had it is undefined, which one loud line
 * says, and with `CI=true` it is an error.
 */
export const realPostgres = () => (known ??= findPostgres())
let known: Promise<string | undefined> | undefined

const findPostgres = async (): Promise<string | undefined> =>
  process.env["TEST_DATABASE_URL"] || (await ownPostgres())?.url

/** A server for this test file alone, with these settings; undefined as for `realPostgres`. */
export const ownPostgres = async (
  settings: Readonly<Record<string, string>> = {},
  release?: Release,
): Promise<Postgres | undefined> => {
  try {
    const server = await startPostgres(settings, release)
    afterAll(server.stop)
    return server
  } catch (error) {
    notTested(error, release)
    return undefined
  }
}

let databases = 0

/** A database of its own on the server at `url`, gone with the scope, and the URL of it. */
export const newDatabase = (url: string) =>
  Effect.gen(function* () {
    const name = `galleria_${process.pid}_${++databases}`
    // Each on a connection of its own, for the server may be another one by then.
    const asked = (statement: (admin: PgClient.PgClient) => Effect.Effect<unknown, SqlError.SqlError>) =>
      Effect.flatMap(PgClient.makeClient({ url: Redacted.make(url) }), statement).pipe(
        Effect.provide(Reactivity.layer),
        Effect.scoped,
        Effect.orDie,
      )
    yield* Effect.acquireRelease(
      asked((admin) => admin`create database ${admin(name)} template template0`),
      () => asked((admin) => admin`drop database ${admin(name)} with (force)`),
    )
    const own = new URL(url)
    own.pathname = `/${name}`
    return own.href
  })

/** The driver of production, in a database of its own on the server at `url`. */
export const databasesAt = (url: string): Layer.Layer<Databases> =>
  Layer.effect(
    Databases,
    Effect.map(newDatabase(url), (own) => ({
      of: (schema: string) => databaseAt({ url: Redacted.make(own), schema, alone: false }),
    })),
  )
