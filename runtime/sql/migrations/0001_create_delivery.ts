import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * What the runtime keeps beside the tables of every module (see DELIVERY.md). Text in an index is compared byte by
 * byte: other collations change with the operating system, and an index that was made by another one finds nothing.
 */
export const createDelivery = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Events that are written and not yet on the bus. `seq` is taken after the row lock of the aggregate.
  yield* sql`create table outbox (
    seq bigint generated always as identity (cache 1) primary key,
    event_id text collate "C" not null,
    type text not null,
    version int not null,
    key text not null,
    subject text not null,
    time timestamptz not null,
    traceparent text,
    data text not null
  )`
  // Events that were taken charge of: applied, parked or queued.
  yield* sql`create table inbox (
    reaction text collate "C" not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    taken_at timestamptz not null,
    primary key (reaction, source, event_id)
  )`
  yield* sql`create index inbox_age on inbox using brin (taken_at)`
  // Events that stepped aside, and those of their key behind them. The open entries are the state of a key.
  yield* sql`create table held (
    pos bigint generated always as identity primary key,
    id text collate "C" not null unique,
    reaction text collate "C" not null,
    key text collate "C",
    source text collate "C" not null,
    event_id text collate "C" not null,
    status text not null check (status in ('waiting', 'retrying', 'parked', 'resolved', 'redriven', 'discarded')),
    attempts int not null default 0,
    reason text,
    error text,
    topic text not null,
    partition int not null,
    "offset" bigint not null,
    event json not null,
    due timestamptz,
    first_failed_at timestamptz,
    last_failed_at timestamptz,
    redriven_at timestamptz,
    created_at timestamptz not null,
    unique (reaction, source, event_id)
  )`
  yield* sql`create index held_open on held (reaction, key, pos) where status in ('waiting', 'retrying', 'parked')`
  yield* sql`create index held_queue on held (reaction, key) where status = 'waiting'`
  yield* sql`create index held_due on held (due, pos) where status = 'retrying'`
  // Answers to requests that carried an Idempotency-Key.
  yield* sql`create table idempotency (
    scope text collate "C" not null,
    key text collate "C" not null,
    hash text not null,
    status int,
    location text,
    body text,
    created_at timestamptz not null,
    primary key (scope, key)
  )`
  yield* sql`create index idempotency_age on idempotency (created_at)`
  yield* sql`create table secrets (name text collate "C" primary key, value text not null)`
  // Puts the members of one JSON object in front of those of another, as text: what only the database knows, such as
  // a new id, before what the statement was given.
  yield* sql`create function completed(head text, rest text) returns text language sql immutable
    return case when rest = '{}' then head else left(head, -1) || ',' || substr(rest, 2) end`
})
