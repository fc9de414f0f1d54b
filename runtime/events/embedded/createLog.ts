import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** The identity of this log, which a module's database keeps. */
export const nameLog = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table identity (id uuid not null)`
  yield* sql`insert into identity (id) values (gen_random_uuid())`
})

/** The tables of the embedded event log. */
export const createLog = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // retention_ms: null keeps records for ever.
  yield* sql`create table topic (name text primary key, partitions int not null, retention_ms bigint)`
  // next: the offset that the next record gets.
  yield* sql`create table partition (
    topic text not null, part int not null, next bigint not null default 0, primary key (topic, part))`
  yield* sql`create table record (
    topic text not null,
    part int not null,
    "offset" bigint not null,
    key text,
    value bytea,
    headers json not null,
    time timestamptz not null,
    primary key (topic, part, "offset")
  )`
  yield* sql`create index record_age on record (topic, time)`
  // next: the offset that the group reads next.
  yield* sql`create table position (
    grp text not null, topic text not null, part int not null, next bigint not null, primary key (grp, topic, part))`
})

/** The beginning of each partition. To search for its oldest record would read all index entries of removed ones. */
export const keepFirst = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // first: the offset of the oldest record; `next` where there is none.
  yield* sql`alter table partition add column first bigint not null default 0`
  yield* sql`update partition e set first = coalesce(
    (select min("offset") from record r where r.topic = e.topic and r.part = e.part), e.next)`
})
