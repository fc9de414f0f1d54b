import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Since when each attempt has postponed the event of a dead letter; null when the last one did not. */
export const countPostponed = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`alter table held add column postponed_at timestamptz`
})
