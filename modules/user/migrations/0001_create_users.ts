import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const createUsers = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table users (
    id bigint generated always as identity primary key,
    email text not null,
    email_key text collate "C" not null unique,
    name text not null,
    created_at timestamptz not null
  )`
  // From the order module's events. created_at is null until order_created has arrived; an ending may arrive earlier.
  yield* sql`create table user_orders (
    order_id bigint primary key,
    user_id bigint not null,
    amount numeric(10, 2) not null,
    status text not null check (status in ('created', 'processed', 'failed', 'cancelled')),
    created_at timestamptz
  )`
  yield* sql`create index user_orders_newest on user_orders (user_id, order_id desc) where created_at is not null`
  yield* sql`create table user_order_summaries (
    user_id bigint primary key,
    orders_count bigint not null,
    total_amount numeric(24, 2) not null
  )`
})
