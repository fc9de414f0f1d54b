import { readdirSync, readFileSync } from "node:fs"
import { Client } from "pg"
import { startPostgres } from "../harness/postgresServer.ts"

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
    cpuMillis: () => familyMillis(postmaster),
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

/** User and system time of a process, of its children, and of those that have ended, from Linux' proc(5). */
const familyMillis = (parent: string): number => {
  const fieldsOf = (pid: string) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  const sum = (fields: ReadonlyArray<string>, from: number, to: number) =>
    fields.slice(from, to).reduce((total, ticks) => total + Number(ticks) * 10, 0)
  try {
    const children = readdirSync("/proc").flatMap((pid) => {
      try {
        const fields = fieldsOf(pid)
        return fields[1] === parent ? [sum(fields, 11, 13)] : []
      } catch {
        return []
      }
    })
    return sum(fieldsOf(parent), 11, 15) + children.reduce((total, millis) => total + millis, 0)
  } catch {
    return Number.NaN
  }
}
