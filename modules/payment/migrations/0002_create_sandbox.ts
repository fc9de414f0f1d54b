import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** The sandbox's data, separate from the module's own tables as a provider's would be. */
export const createSandbox = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Checked first: a database user without the right to create schemas may use an existing one.
  const there = yield* sql`select 1 from pg_namespace where nspname = 'payment_sandbox'`
  if (there.length === 0) yield* sql`create schema payment_sandbox`
  yield* sql`create table payment_sandbox.requests (
    key text collate "C" primary key,
    payment_method text not null,
    attempts int not null
  )`
  yield* sql`create table payment_sandbox.charges (
    key text collate "C" primary key,
    amount numeric(10, 2) not null,
    charged_at timestamptz not null,
    refund_key text collate "C" unique,
    refunded_at timestamptz
  )`
})
