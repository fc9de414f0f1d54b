import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** A dead letter that only waited is marked when it has become the first open one of its key. */
export const markReady = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`alter table held add column ready boolean not null default false`
  yield* sql`create index held_ready on held (due, pos) where status = 'waiting' and ready`
})
