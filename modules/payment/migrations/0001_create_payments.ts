import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const createPayments = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create sequence payment_ids as bigint`
  // One row for each order. Until order_created has arrived the status is 'none', and its columns are null.
  yield* sql`create table payments (
    order_id bigint primary key,
    id bigint unique,
    status text collate "C" not null default 'none'
      check (status in ('none', 'pending', 'successful', 'failed', 'refunded')),
    reason text,
    go boolean not null default false,
    stop text,
    call text not null default 'no' check (call in ('no', 'out', 'unknown', 'charged')),
    user_id bigint,
    amount numeric(10, 2) check (amount >= 0.01),
    payment_method text,
    key text collate "C" unique,
    chargeable_at timestamptz,
    failed_at timestamptz,
    created_at timestamptz,
    check ((status = 'none') = (id is null)),
    check (num_nulls(id, user_id, amount, payment_method, key, created_at) in (0, 6)),
    check (status <> 'successful' or call = 'charged')
  )`
  yield* sql`create index payments_of_user on payments (user_id, id)`
  yield* sql`create index payments_by_status on payments (status, id)`
})
