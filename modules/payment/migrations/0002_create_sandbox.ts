import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** What the sandbox remembers, as a provider would: apart from the module's own tables. */
export const createSandbox = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Asked first: a user who may not create a schema may still use one that is there.
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
