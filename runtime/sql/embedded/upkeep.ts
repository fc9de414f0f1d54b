import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"

/** A table is looked after when it has grown by this much since the last time. */
const growth = { factor: 1.3, bytes: 1024 * 1024 }

/** A larger table gets new statistics, but no vacuum: that would stop requests for too long. */
const mostVacuumedBytes = 64 * 1024 * 1024

/** A restart after a crash replays what was written since the last checkpoint: some tenths of a second. */
const mostWalBytes = 64 * 1024 * 1024

interface Table {
  readonly schema: string
  readonly name: string
  readonly bytes: number
}

/**
 * One turn of what PostgreSQL's background processes do, which the embedded one lacks: room of deleted rows is used
 * again, the planner knows how large tables are, and the write-ahead log stays short.
 */
export const makeUpkeep = (sql: PgClient.PgClient) => {
  const sizes = new Map<string, number>()
  let checkpointAt = 0

  const grown = ({ schema, name, bytes }: Table) => {
    const before = sizes.get(`${schema}.${name}`) ?? 0
    return bytes > before * growth.factor && bytes > before + growth.bytes
  }

  return Effect.gen(function* () {
    const tables = yield* sql<Table>`
      select n.nspname as schema, c.relname as name, pg_relation_size(c.oid)::float8 as bytes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema)'`
    for (const table of tables.filter(grown)) {
      const { schema, name, bytes } = table
      const what = sql`${sql(schema)}.${sql(name)}`
      yield* bytes > mostVacuumedBytes ? sql`analyze ${what}` : sql`vacuum (analyze) ${what}`
      sizes.set(`${schema}.${name}`, bytes)
    }
    const [wal] = yield* sql<{ at: number }>`select (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8 as at`
    if (wal!.at - checkpointAt > mostWalBytes) {
      yield* sql`checkpoint`
      checkpointAt = wal!.at
    }
    return false
  })
}
