import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"

const megabyte = 1024 * 1024

/** Deleted or inserted rows after which a table is vacuumed: few, because a vacuum reads all new pages. */
const vacuumAfter = { dead: 2_000, inserted: 20_000 }

/**
 * The largest indexes of a table that are vacuumed with it. To vacuum an index after deletions is to read all of it, which takes
 * some tens of milliseconds at this size, and requests wait meanwhile. It cannot be divided. Of a larger table only the rows
 * are vacuumed: their space is used again, that of their index entries is not.
 */
export const mostIndexBytes = 16 * megabyte

/** Statistics need only be right within an order of magnitude. A sample reads a page for each of 300 rows times `target`. */
const statistics = { rows: 5_000, share: 0.3, target: 3 }

/** The write-ahead log between two checkpoints. A checkpoint writes it in one call; a restart after a crash replays it. */
const mostWalBytes = 8 * megabyte

interface Table {
  readonly schema: string
  readonly name: string
  readonly live: number
  readonly dead: number
  readonly inserted: number
  /** Rows that have changed since its statistics were made. */
  readonly changed: number
}

const isWritten = ({ dead, inserted }: Table) => dead >= vacuumAfter.dead || inserted >= vacuumAfter.inserted

const needsStatistics = ({ changed, live }: Table) => changed >= statistics.rows && changed >= live * statistics.share

/**
 * One turn of the maintenance for which the embedded PostgreSQL has no background processes: vacuum, statistics and
 * checkpoints. No statement of it takes much longer in a large database than in a small one (decision 5).
 */
export const makeUpkeep = (sql: PgClient.PgClient, mostIndexBytes: number) => {
  /** By schema, the `seq` up to which its outbox is empty: with one session, rows appear in order of `seq`. */
  const emptyTo = new Map<string, bigint>()
  let lookedAt = 0
  let checkpointAt = 0

  const tables = sql<Table>`
    select n.nspname as schema, c.relname as name, pg_stat_get_live_tuples(c.oid)::float8 as live,
      pg_stat_get_dead_tuples(c.oid)::float8 as dead, pg_stat_get_ins_since_vacuum(c.oid)::float8 as inserted,
      pg_stat_get_mod_since_analyze(c.oid)::float8 as changed
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema)'`

  const whatIs = ({ schema, name }: Table) => sql`${sql(schema)}.${sql(name)}`

  /** Opens the files of the table, so it is used for few tables only. */
  const indexBytesOf = ({ schema, name }: Table) =>
    Effect.map(
      sql<{ bytes: number }>`
        select pg_indexes_size(c.oid)::float8 as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = ${name} and n.nspname = ${schema}`,
      ([size]) => size!.bytes,
    )

  const position = Effect.map(
    sql<{ at: number }>`select (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8 as at`,
    ([wal]) => wal!.at,
  )

  const checkpoint = Effect.gen(function* () {
    const at = yield* position
    if (at - checkpointAt < mostWalBytes) return
    yield* sql`checkpoint`
    checkpointAt = at
  })

  /** Truncates an empty outbox that is too large for a vacuum, as after a long outage of the log. */
  const truncate = (table: Table) =>
    sql.withTransaction(
      Effect.gen(function* () {
        const [row] = yield* sql<{ seq: bigint }>`
          select seq from ${whatIs(table)} where seq > ${emptyTo.get(table.schema) ?? 0n} order by seq limit 1`
        if (row === undefined) yield* sql`truncate ${whatIs(table)}`
        else emptyTo.set(table.schema, row.seq - 1n)
      }),
    )

  return Effect.gen(function* () {
    const at = yield* position
    if (at === lookedAt) return false
    // Makes the counts of this session visible to the next statement.
    yield* sql`select pg_stat_force_next_flush()`
    for (const table of yield* tables) {
      if (isWritten(table)) {
        if ((yield* indexBytesOf(table)) <= mostIndexBytes) yield* sql`vacuum ${whatIs(table)}`
        else if (table.name !== "outbox") yield* sql`vacuum (index_cleanup off, truncate off) ${whatIs(table)}`
        else yield* truncate(table)
        yield* checkpoint
      }
      if (needsStatistics(table)) {
        yield* sql`set default_statistics_target = ${sql.literal(String(statistics.target))}`
        yield* sql`analyze ${whatIs(table)}`
      }
    }
    yield* checkpoint
    lookedAt = yield* position
    return false
  })
}
