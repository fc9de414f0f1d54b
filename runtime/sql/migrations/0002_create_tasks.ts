import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Calls to the outside that are to be made. */
export const createTasks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // `holder` is null while no call is marked; then it names the claim, and `due` is when its mark is too old. `reason`
  // and `error` say why a row is tried again; null: nothing went wrong.
  yield* sql`create table task (
    name text collate "C" not null,
    id text collate "C" not null,
    due timestamptz not null,
    attempts int not null default 0,
    holder text,
    is_unknown boolean not null default false,
    reason text check (reason in ('failed', 'unknown', 'not-made')),
    error text,
    created_at timestamptz not null,
    primary key (name, id)
  )`
  yield* sql`create index task_due on task (name, due, id)`
  yield* sql`create index task_failed on task (name, id) where reason = 'failed'`
})
