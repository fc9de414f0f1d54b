import { Client } from "pg"
import { startPostgres } from "../testing/postgresServer.ts"

/** A PostgreSQL of its own, with a database for each that asks. */
export interface PostgresPlace extends AsyncDisposable {
  /** Makes a database, and says its URL. */
  readonly create: (name: string) => Promise<string>
}

export const startPostgresPlace = async (): Promise<PostgresPlace> => {
  const server = await startPostgres()
  return {
    create: async (name) => {
      await run(server.url, `create database "${name}" template template0`)
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return url.href
    },
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
