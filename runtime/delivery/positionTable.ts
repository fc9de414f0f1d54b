import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { type End, type Partition, partitionName, type Position } from "../events/EventBus.ts"

/** The beginning of the log, wherever that is when a member begins to read. */
export const beginning = -1

/** The position of one reaction in one partition, as stored. */
export interface StoredPosition extends Partition {
  readonly reaction: string
  readonly next: number
  readonly epoch: number
}

/** The name of the position of a reaction in a partition, such as `user.record-order order_created/3`. */
export const positionName = (reaction: string, partition: Partition): string =>
  `${reaction} ${partitionName(partition)}`

/** What a transaction does to a position: it must be at `from` or beyond, and is `next` afterwards, or beyond. */
export interface Move extends Partition {
  readonly reaction: string
  readonly from: number
  readonly next: number
}

interface Row extends Partition {
  readonly reaction: string
  readonly next: bigint | null
  readonly epoch: bigint
}

/** A reaction without a position, as while it is reset, is left out. */
const storedOf = (rows: ReadonlyArray<Row>): ReadonlyArray<StoredPosition> =>
  rows.flatMap((row) => (row.next === null ? [] : [{ ...row, next: Number(row.next), epoch: Number(row.epoch) }]))

/** The statements of consumers on the table `position`. */
export const positionTable = (sql: SqlClient.SqlClient) => ({
  read: (partitions: ReadonlyArray<Partition>, reactions: ReadonlyArray<string>) =>
    Effect.map(
      sql<Row>`
        select p.reaction, p.topic, p.partition, p.next, p.epoch from position p
        join json_to_recordset(${JSON.stringify(partitions)}::json) as x (topic text, partition int)
          on p.topic = x.topic and p.partition = x.partition
        where p.reaction in (select json_array_elements_text(${JSON.stringify(reactions)}::json))`,
      storedOf,
    ),

  /** Lets one transaction at a time add positions. */
  lock: sql`lock table position in share row exclusive mode`,

  isEmpty: Effect.map(sql`select 1 from position limit 1`, (rows) => rows.length === 0),

  /**
   * Adds the positions that do not exist: with `history` at the beginning, else at the greatest position of the other
   * reactions to the topic, and without others at `next`.
   */
  addMissing: (positions: ReadonlyArray<Position & { readonly reaction: string; readonly history: boolean }>) =>
    sql`
      insert into position (reaction, topic, partition, next)
      select x.reaction, x.topic, x.partition, case when x.history then ${beginning}::bigint else coalesce(
        (select max(p.next) from position p where p.topic = x.topic and p.partition = x.partition), x.next) end
      from json_to_recordset(${JSON.stringify(positions)}::json)
        as x (reaction text, topic text, partition int, next bigint, history boolean)
      order by x.reaction, x.topic, x.partition on conflict do nothing`,

  /** Sets a position to `to` if it is as it was read. Returns false when it has changed since. */
  correct: ({ reaction, topic, partition, next, epoch }: StoredPosition, to: number) =>
    Effect.map(
      sql`
        update position set next = ${to}, epoch = epoch + 1
        where reaction = ${reaction} and topic = ${topic} and partition = ${partition}
          and next = ${next} and epoch = ${epoch} returning 1`,
      (changed) => changed.length > 0,
    ),

  /** Locks the positions, moves those that are before their `next`, and returns all as they were. */
  move: (moves: ReadonlyArray<Move>) =>
    Effect.map(
      sql<Row>`
        with target as materialized (
          select * from json_to_recordset(${JSON.stringify(moves)}::json)
            as x (reaction text, topic text, partition int, next bigint)),
        locked as materialized (
          select p.reaction, p.topic, p.partition, p.next, p.epoch from position p
          where (p.reaction, p.topic, p.partition) in (select reaction, topic, partition from target)
          order by p.reaction, p.topic, p.partition for no key update of p),
        moved as (
          update position p set next = t.next from locked l, target t
          where (p.reaction, p.topic, p.partition) = (l.reaction, l.topic, l.partition)
            and (t.reaction, t.topic, t.partition) = (l.reaction, l.topic, l.partition) and l.next < t.next
          returning 1)
        select reaction, topic, partition, next, epoch from locked`,
      storedOf,
    ),
})

/** Selects a row for each reaction that is before an end of its topic, where a record before that end still exists. */
export const positionBefore = (
  sql: SqlClient.SqlClient,
  ends: ReadonlyArray<End>,
  reactions: ReadonlyArray<{ readonly reaction: string; readonly topic: string }>,
) =>
  sql`
    select 1 from json_to_recordset(${JSON.stringify(ends)}::json)
      as e (topic text, partition int, first bigint, next bigint)
    join json_to_recordset(${JSON.stringify(reactions)}::json)
      as r (reaction text, topic text) on r.topic = e.topic
    left join position p on p.reaction = r.reaction and p.topic = e.topic and p.partition = e.partition
    where e.first < e.next and coalesce(p.next, 0) < e.next`

/** The statements of replays and resets on the table `position`: each fences the members that read the partitions. */
export const positionReplay = (sql: SqlClient.SqlClient) => ({
  /** Locks all positions of a reaction, in the order in which consumers lock them. */
  lockOf: (reaction: string) => sql`
    select 1 from position where reaction = ${reaction} order by topic, partition for no key update`,

  /** Takes all positions of a reaction away, while it is reset. */
  unset: (reaction: string) => sql`update position set next = null, epoch = epoch + 1 where reaction = ${reaction}`,

  /** Sets all positions of a reaction to the beginning of the log. */
  restart: (reaction: string) =>
    sql`update position set next = ${beginning}, epoch = epoch + 1 where reaction = ${reaction}`,

  /** Moves positions of a reaction back, none forward. Returns how many exist; while the reaction is reset, none does. */
  moveBack: (reaction: string, positions: ReadonlyArray<Position>) =>
    Effect.map(
      sql`
        update position p set next = least(p.next, x.next), epoch = p.epoch + 1
        from json_to_recordset(${JSON.stringify(positions)}::json) as x (topic text, partition int, next bigint)
        where p.reaction = ${reaction} and p.topic = x.topic and p.partition = x.partition and p.next is not null
        returning 1`,
      (rows) => rows.length,
    ),
})
