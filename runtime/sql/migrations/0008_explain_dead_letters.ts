import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** What operators are shown about dead letters, and what they did. */
export const explainDeadLetters = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // cause: groups dead letters of one reaction by their error. operation: the last bulk change. log: the attempts.
  // original: the event as received, of one that was redriven with other data.
  yield* sql`alter table held
    alter column status type text collate "C",
    add column cause text collate "C",
    add column operation text collate "C",
    add column ended_at timestamptz,
    add column log json,
    add column original json`
  yield* sql`update held set cause = reaction where status in ('waiting', 'retrying', 'parked')`
  yield* sql`update held set ended_at = last_failed_at where status in ('resolved', 'redriven', 'discarded')`
  yield* sql`create index held_cause on held (cause, status, id) include (first_failed_at, last_failed_at)
    where status in ('retrying', 'parked')`
  yield* sql`create index held_listed on held (id) where status in ('retrying', 'parked')`
  yield* sql`create index held_ended on held (status, id) where status in ('resolved', 'redriven', 'discarded')`
  yield* sql`create index held_operation on held (operation, status) where operation is not null`
  // What operators did. The chunks of a bulk change are one action.
  yield* sql`create table action (
    id text collate "C" primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    target text not null,
    details json not null,
    operation text collate "C" unique
  )`
})
