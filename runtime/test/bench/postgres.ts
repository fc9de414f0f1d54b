import { readFileSync } from "node:fs"
import { Client } from "pg"
import { startPostgres } from "../harness/postgresServer.ts"
import { familyMillis } from "./descendants.ts"

/** A PostgreSQL of its own, with a database for each that asks. */
export interface PostgresPlace extends AsyncDisposable {
  /** Makes a database, and says its URL. */
  readonly create: (name: string) => Promise<string>
  /** CPU time that all its processes have used so far, in ms; NaN where the system does not report it. */
  readonly cpuMillis: () => number
}

/** `durable`: a commit waits for the disk, as in production. */
export const startPostgresPlace = async ({ durable = false } = {}): Promise<PostgresPlace> => {
  const server = await startPostgres(durable ? { fsync: "on" } : {})
  const [{ folder }] = await run(server.url, "select current_setting('data_directory') as folder")
  const postmaster = readFileSync(`${folder}/postmaster.pid`, "utf8").split("\n")[0]!
  return {
    create: async (name) => {
      await run(server.url, `create database "${name}" template template0`)
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return url.href
    },
    cpuMillis: () => familyMillis(Number(postmaster)),
    [Symbol.asyncDispose]: server.stop,
  }
}

/** Runs statements one after the other on a connection of their own, and brings the rows of the last. */
export const run = async (url: string, ...statements: ReadonlyArray<string>): Promise<ReadonlyArray<any>> => {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    let rows: ReadonlyArray<unknown> = []
    for (const statement of statements) rows = (await client.query(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}
