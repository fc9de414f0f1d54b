import { Effect } from "effect"
import type { SqlClient } from "effect/sql"

/** A reset that was requested and has not ended. `id` distinguishes it from a later reset of the same reaction. */
export interface Reset {
  readonly reaction: string
  readonly id: string
  readonly topic: string
}

/** All statements on the table `reset`, which has a row for each reset that runs. */
export const resetTable = (sql: SqlClient.SqlClient) => ({
  /** Adds a reset; returns false when the reaction is being reset already. */
  add: ({ reaction, id, topic }: Reset, now: Date) =>
    Effect.map(
      sql`
        insert into reset (reaction, id, topic, asked_at) values (${reaction}, ${id}, ${topic}, ${now})
        on conflict do nothing returning 1`,
      (added) => added.length > 0,
    ),

  isReset: (reaction: string) =>
    Effect.map(sql`select 1 from reset where reaction = ${reaction}`, (found) => found.length > 0),

  /** Whether a reaction to the topic is being reset. */
  isTopicReset: (topic: string) =>
    Effect.map(sql`select 1 from reset where topic = ${topic} limit 1`, (found) => found.length > 0),

  /** All resets, the oldest first. */
  list: sql<Reset>`select reaction, id, topic from reset order by asked_at`,

  /** Locks a reset; returns false when it has ended. */
  lock: ({ reaction, id }: Reset) =>
    Effect.map(
      sql`select 1 from reset where reaction = ${reaction} and id = ${id} for update`,
      (found) => found.length > 0,
    ),

  end: ({ reaction, id }: Reset) => sql`delete from reset where reaction = ${reaction} and id = ${id}`,
})
