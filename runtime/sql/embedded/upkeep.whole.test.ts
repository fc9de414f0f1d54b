import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { postgres } from "../../test/harness/memory.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"
import { makeUpkeep, mostIndexBytes } from "./upkeep.ts"

/**
 * Requests wait for a statement: 50 ms of processor time, for the machine may be busy with others, and as much again for
 * files that are in memory here.
 */
const mostMillis = 100

/** How much the event loop worked at most without a turn while that was done, in milliseconds of processor time. */
const stillness = <E, R>(work: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    const spent = () => {
      const { user, system } = process.threadCpuUsage()
      return (user + system) / 1_000
    }
    let longest = 0
    let before = spent()
    const look = () => {
      const now = spent()
      longest = Math.max(longest, now - before)
      before = now
    }
    const timer = setInterval(look, 1)
    yield* Effect.ensuring(
      work,
      Effect.sync(() => clearInterval(timer)),
    )
    look()
    return longest
  })

const scene = (schema: string, most = mostIndexBytes) =>
  Effect.gen(function* () {
    const sql = yield* (yield* EmbeddedPostgres).client(schema)
    const turn = makeUpkeep(sql, most)
    const bytesOf = (table: string) =>
      Effect.map(
        sql<{ bytes: number }>`select pg_total_relation_size(${table}::regclass)::float8 as bytes`,
        ([row]) => row!.bytes,
      )
    return { sql, turn, bytesOf }
  })

layer(postgres(), { excludeTestServices: true })("The upkeep of the embedded database", (it) => {
  /** Writes and prunes a table, and returns by which factor `size` of it has grown since the first rounds. */
  const growthOf = (schema: string, size: string, mostIndexBytes?: number) =>
    Effect.gen(function* () {
      const { sql, turn } = yield* scene(schema, mostIndexBytes)
      yield* sql`create table record (id bigint generated always as identity primary key, value text not null)`
      const bytes = Effect.map(
        sql<{ bytes: number }>`select ${sql.literal(size)}('record')::float8 as bytes`,
        ([row]) => row!.bytes,
      )
      const rounds = (count: number) =>
        Effect.gen(function* () {
          for (let n = 0; n < count; n++) {
            yield* sql`insert into record (value) select repeat('x', 500) from generate_series(1, 2000)`
            yield* sql`delete from record where id <= (select max(id) from record) - 10000`
            yield* turn
          }
        })
      yield* rounds(15)
      const before = yield* bytes
      yield* rounds(40)
      return (yield* bytes) / before
    })

  it.effect("lets a table that is written and pruned keep its size", () =>
    Effect.map(growthOf("pruned", "pg_total_relation_size"), (growth) => expect(growth).toBeLessThan(1.1)),
  )

  it.effect("uses the space of deleted rows again in a table whose indexes are too large for a vacuum", () =>
    Effect.map(growthOf("large_indexes", "pg_relation_size", 0), (growth) => expect(growth).toBeLessThan(1.1)),
  )

  it.effect("blocks no request for a large table, also when much of it is deleted", () =>
    Effect.gen(function* () {
      const { sql, turn } = yield* scene("large")
      let longest = 0
      yield* sql`checkpoint`
      const timed = Effect.map(stillness(turn), (millis) => void (longest = Math.max(longest, millis)))
      yield* sql`create table inbox (event_id text primary key, taken_at timestamptz not null)`
      const write = (from: number, to: number) =>
        Effect.gen(function* () {
          for (let n = from; n < to; n += 20_000) {
            yield* sql`insert into inbox
              select 'order.note_payment /galleria/order 01a1ff33-374c-72ca-8922-' || lpad((${n}::int + i)::text, 12, '0'), now()
              from generate_series(1, 20000) i`
            yield* timed
          }
        })
      yield* write(0, 400_000)
      yield* sql`delete from inbox where ctid < '(2000,0)'::tid`
      yield* timed
      yield* write(400_000, 560_000)
      expect(longest).toBeLessThan(mostMillis)
    }),
  )

  it.effect("makes an outbox anew that has outgrown the vacuum, once it is empty", () =>
    Effect.gen(function* () {
      const { sql, turn, bytesOf } = yield* scene("outage", 100_000)
      yield* sql`create table outbox (seq bigint generated always as identity primary key, data text not null)`
      yield* sql`insert into outbox (data) select repeat('x', 1000) from generate_series(1, 20000)`
      yield* sql`delete from outbox where seq <= 19999`
      yield* turn
      expect(yield* sql`select seq::int from outbox`).toEqual([{ seq: 20_000 }])
      yield* sql`delete from outbox`
      yield* turn
      expect(yield* bytesOf("outbox")).toBeLessThan(100_000)
      expect(yield* sql`insert into outbox (data) values ('') returning seq::int`).toEqual([{ seq: 20_001 }])
    }),
  )
})
