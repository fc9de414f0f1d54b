import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Where the module reads on, since when each reaction takes part, replays that are under way, and whose log it is. */
export const createPositions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Counts how often the position was moved otherwise than by handling: a member of before then must not move it.
  yield* sql`alter table position add column epoch bigint not null default 0`
  // A reaction does not see records before `start_at`: those of before it was added, or while it is reset.
  yield* sql`create table reaction_start (
    reaction text not null,
    topic text not null,
    partition int not null,
    start_at bigint not null,
    primary key (reaction, topic, partition)
  )`
  // A reset that was asked for and is not done.
  yield* sql`create table reset (reaction text primary key, requested_at timestamptz not null)`
  // The event log that positions refer to: one row.
  yield* sql`create table event_log (identity text not null)`
})
