import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { type Filter, matching, mostCounted } from "./deadLetterTable.ts"

/*
 * Bulk changes of dead letters, groups of them by cause, and the table `action`, which has what operators did.
 */

export type BulkAction = "redrive" | "discard"

/** Something that an operator did. `operation` is set for a bulk change, whose calls are one action. */
export interface NewAction {
  readonly id: string
  readonly at: Date
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly details: Readonly<Record<string, unknown>>
  readonly operation?: string
}

export interface ActionRow extends Omit<NewAction, "operation"> {
  readonly operation: string | null
}

/** How actions are recorded and listed. */
export const actionTable = (sql: SqlClient.SqlClient) => ({
  /** Records an action in the running transaction. A further call of a bulk change adds to its `count`. */
  record: ({ id, at, actor, action, target, details, operation }: NewAction) =>
    sql`
      insert into action (id, at, actor, action, target, details, operation)
      values (${id}, ${at}, ${actor}, ${action}, ${target}, ${JSON.stringify(details)}::json, ${operation ?? null})
      on conflict (operation) do update set details = (action.details::jsonb || jsonb_build_object('count',
        coalesce((action.details->>'count')::bigint, 0) + coalesce((excluded.details->>'count')::bigint, 0)))::json`,

  /** Newest first, from before the id given. */
  list: (before: string | undefined, limit: number) =>
    sql<ActionRow>`
      select id, at, actor, action, target, details, operation from action
      where ${before === undefined ? sql`true` : sql`id < ${before}`} order by id desc limit ${limit}`,

  ofOperation: (operation: string) =>
    sql<ActionRow>`
      select id, at, actor, action, target, details, operation from action where operation = ${operation}`,
})

/** A group of open dead letters of one cause and status. */
export interface GroupRow {
  readonly cause: string
  readonly status: "retrying" | "parked"
  readonly reaction: string
  readonly type: string
  readonly reason: string | null
  readonly error: string | null
  readonly count: number
  readonly keys: number
  readonly waiting: number
  readonly first_failed_at: Date | null
  readonly last_failed_at: Date | null
}

const groupOf = (row: GroupRow & { readonly groups: number }): GroupRow => {
  const { groups: _groups, ...group } = row
  return group
}

/** Bounds of grouping: dead letters that are looked at, and of each group those whose keys are. */
const most = { rows: 100_000, perGroup: 50, waiting: 1_000 }

/** Groups of a list, at most. */
export const mostGroups = 200

/** How bulk changes and groups are made. */
export const operationTable = (sql: SqlClient.SqlClient) => {
  /** Marks the next of the keys whose first dead letter ended, as the end of a single one does. */
  const marked = sql`
    update held set ready = true from (
      select distinct on (next.pos) next.pos from changed, lateral (
        select h.pos, h.status from held h where h.reaction = changed.reaction and h.key = changed.key
          and h.pos > changed.pos and h.status in ('waiting', 'retrying', 'parked')
          and h.pos not in (select pos from changed) order by h.pos limit 1) next
      where next.status = 'waiting') first
    where held.pos = first.pos`

  /** What matches and was not changed by this operation yet. */
  const chosen = (filter: Filter, operation: string) =>
    sql.and([...matching(sql)(filter), sql`h.operation is distinct from ${operation}`])

  return {
    /**
     * Redrives or discards at most `limit` that match, and returns how many. Locks in one order, so that calls at the same
     * time do not deadlock, and leaves out what a worker is trying.
     */
    change: (action: BulkAction, filter: Filter, operation: string, limit: number, now: Date) => {
      const set =
        action === "redrive"
          ? sql`status = 'retrying', attempts = 0, due = ${now}, redriven_at = ${now}`
          : sql`status = 'discarded', due = null, ended_at = ${now}`
      return Effect.map(
        sql`
          with open as (
            select h.pos from held h where ${chosen(filter, operation)}
            order by h.pos limit ${limit} for update skip locked),
          changed as (
            update held set ${set}, operation = ${operation} from open
            where held.pos = open.pos and held.status in ('retrying', 'parked')
            returning held.pos, held.reaction, held.key),
          marked as (${action === "discard" ? marked : sql`select 1`})
          select pos from changed`,
        (rows) => rows.length,
      )
    },

    /** How many match and were not changed by this operation, at most `mostCounted`. */
    remaining: (filter: Filter, operation: string) =>
      Effect.map(
        sql<{ n: number }>`
          select count(*)::int as n from (
            select from held h where ${chosen(filter, operation)} limit ${mostCounted}) remaining`,
        ([row]) => row!.n,
      ),

    /** What became of the dead letters that an operation changed. */
    outcomes: (operation: string) =>
      sql<{ outcome: "applied" | "waiting" | "retrying" | "parked" | "discarded"; n: number }>`
        select case when status in ('resolved', 'redriven') then 'applied'
          when status = 'retrying' and attempts = 0 and last_failed_at <= redriven_at then 'waiting' else status end as outcome,
          count(*)::int as n
        from held where operation = ${operation} group by 1`,

    /** The groups of what matches, the largest first, and how many there are beyond `mostGroups`. */
    groups: (filter: Filter) =>
      Effect.map(
        sql<GroupRow & { readonly groups: number }>`
          with found as materialized (
            select h.cause, h.status, count(*)::int as count, min(h.first_failed_at) as first_failed_at,
              max(h.last_failed_at) as last_failed_at
            from (select h.cause, h.status, h.first_failed_at, h.last_failed_at from held h
              where h.cause is not null and ${sql.and(matching(sql)(filter))} limit ${most.rows}) h
            group by h.cause, h.status),
          shown as materialized (
            select found.*, (count(*) over ())::int as groups from found order by count desc, cause, status limit ${mostGroups})
          select shown.*, newest.reaction, newest.topic as type, newest.reason, newest.error, behind.keys, behind.waiting
          from shown,
          lateral (
            select reaction, topic, reason, error from held h where h.cause = shown.cause and h.status = shown.status
              and h.status in ('retrying', 'parked') order by h.id desc limit 1) newest,
          lateral (
            select count(distinct sample.key)::int as keys, least(coalesce(sum(sample.waiting), 0), ${most.waiting})::int as waiting
            from (
              select h.key, (select count(*) from (
                select from held w where w.reaction = h.reaction and w.key = h.key and w.pos > h.pos
                  and w.status in ('waiting', 'retrying', 'parked') limit ${most.waiting}) later) as waiting
              from (select * from held h where h.cause = shown.cause and h.status = shown.status
                and h.status in ('retrying', 'parked') limit ${most.perGroup}) h) sample) behind
          order by shown.count desc, shown.cause, shown.status`,
        (rows) => ({
          groups: rows.map(groupOf),
          more: Math.max(0, (rows[0]?.groups ?? 0) - mostGroups),
        }),
      ),
  }
}
