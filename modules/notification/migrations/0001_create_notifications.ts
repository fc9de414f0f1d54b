import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const createNotifications = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // email and name are null until user_created has arrived; the row is inserted earlier so that it can be locked.
  yield* sql`create table users (
    user_id bigint primary key,
    email text,
    name text,
    known_at timestamptz,
    check ((email is null) = (name is null) and (email is null) = (known_at is null))
  )`
  // At most one for each event, however often the event is handled.
  yield* sql`create table notifications (
    id bigint generated always as identity primary key,
    event_source text collate "C" not null,
    event_id text collate "C" not null,
    user_id bigint not null,
    order_id bigint,
    kind text not null,
    channel text not null check (channel in ('email', 'log')),
    subject text not null,
    body text not null,
    status text not null check (status in ('pending', 'sent', 'failed')),
    reason text,
    created_at timestamptz not null,
    unique (event_source, event_id)
  )`
  yield* sql`create index notifications_of_user on notifications (user_id, id)`
  yield* sql`create index notifications_of_order on notifications (order_id, id) where order_id is not null`
})
