import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Which event log this database belongs to (DELIVERY.md, *The identity of the log*). */
export const createEventLog = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table event_log (
    one boolean primary key default true check (one),
    identity text not null
  )`
})
