import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Where each reaction reads on (DELIVERY.md, *Positions* and *Resets*). */
export const createPositions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // next: the reaction has taken charge of all before it; -1: the log's beginning; null: the reaction is being reset.
  // epoch: counts what moved the position other than the consumer.
  yield* sql`create table position (
    reaction text collate "C" not null,
    topic text collate "C" not null,
    partition int not null,
    next bigint,
    epoch bigint not null default 0,
    primary key (reaction, topic, partition)
  )`
  // A reset that was requested and is not done.
  yield* sql`create table reset (
    reaction text collate "C" primary key,
    id uuid not null,
    topic text not null,
    asked_at timestamptz not null
  )`
})
