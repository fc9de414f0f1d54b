import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** The trace in which a task was added, as a `traceparent`; null when there was none. */
export const traceTasks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`alter table task add column traceparent text`
})
