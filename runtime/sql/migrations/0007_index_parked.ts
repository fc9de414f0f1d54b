import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** By it parked events are counted up to a limit, however many others are open. */
export const indexParked = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create index held_parked on held (pos) where status = 'parked'`
})
