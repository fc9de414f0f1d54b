import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { keyIn } from "../events/cloudEvents.ts"
import { bytesOf, type KeptValue } from "../delivery/inbox.ts"
import { shownOf } from "./shown.ts"

/** The statuses of an entry as people see them; what waits behind an entry is counted with it. */
export const Status = Schema.Literals(["retrying", "parked", "resolved", "redriven", "discarded"]).annotate({
  description: "`parked` waits for a person; `resolved`, `redriven` and `discarded` have ended.",
})
export type Status = typeof Status.Type

export const Instant = Schema.DateFromString.pipe(Schema.annotateEncoded({ format: "date-time" }))

/** What waits behind an entry is not counted further. */
const mostCounted = 10_000

/** An event that stepped aside. */
export const DeadLetter = Schema.Struct({
  id: Schema.String.annotate({ format: "uuid" }),
  module: Schema.String,
  reaction: Schema.String.annotate({ description: "`*` for a record that can be no event to anybody." }),
  status: Status,
  attempts: Schema.Natural.annotate({ description: "How often it was tried since it stepped aside or was redriven." }),
  reason: Schema.NullOr(Schema.String).annotate({
    description:
      "The kind of failure: `failed`, `schema`, `rejected`, `postponed`, `unavailable`, `newer-version` or `malformed`.",
  }),
  error: Schema.NullOr(Schema.String).annotate({ description: "How the last attempt went wrong." }),
  event: Schema.Struct({
    id: Schema.String,
    type: Schema.String,
    source: Schema.String,
    time: Schema.NullOr(Schema.String),
    key: Schema.NullOr(Schema.String),
    data: Schema.Unknown.annotateKey({ description: "As it came; text where it is no JSON." }),
    headers: Schema.Record(Schema.String, Schema.String),
  }),
  topic: Schema.String,
  partition: Schema.Natural,
  offset: Schema.Natural,
  waiting: Schema.Natural.annotate({
    description: `How many later events wait behind it, of its key or of its order; counted up to ${mostCounted}.`,
  }),
  first_failed_at: Schema.NullOr(Instant),
  last_failed_at: Schema.NullOr(Instant),
  next_attempt_at: Schema.NullOr(Instant).annotate({ description: "Null when it is not tried again by itself." }),
  redriven_at: Schema.NullOr(Instant),
})
  .annotate({ identifier: "DeadLetter", description: "An event that stepped aside." })
  .pipe(
    Schema.annotateEncoded({
      examples: [
        {
          id: "019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42",
          module: "user",
          reaction: "user.record-order",
          status: "retrying",
          attempts: 3,
          reason: "failed",
          error: "the projection is locked",
          event: {
            id: "019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968",
            type: "order_created",
            source: "/galleria/order",
            time: "2026-01-02T03:04:05.678Z",
            key: "1",
            data: { order_id: 1, user_id: 1 },
            headers: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
          },
          topic: "order_created",
          partition: 2,
          offset: 17,
          waiting: 1,
          first_failed_at: "2026-01-02T03:04:06.000Z",
          last_failed_at: "2026-01-02T03:04:09.000Z",
          next_attempt_at: "2026-01-02T03:04:13.000Z",
          redriven_at: null,
        },
      ],
    }),
  )
export type DeadLetter = typeof DeadLetter.Type

/** Which entries are meant; what is left out means all. */
export interface Filter {
  readonly statuses?: ReadonlyArray<Status>
  readonly reaction?: string
  readonly type?: string
}

/**
 * The events of one module that stepped aside, for people: to look at, to try again, to give up. What a person does
 * waits for the worker that holds the entry, looks at its status again, and changes nothing on an entry that has ended.
 */
export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** Newest first, from before the id given. */
    readonly list: (
      filter: Filter,
      before: string | undefined,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<DeadLetter>>
    readonly find: (id: string) => Effect.Effect<DeadLetter | undefined>
    /** Due now, attempts 0; says whether that changed it. */
    readonly redrive: (id: string) => Effect.Effect<boolean>
    /** Ends it without effect, and its key goes on; says whether that changed it. */
    readonly discard: (id: string) => Effect.Effect<boolean>
    /** Redrives all open entries that match, and says how many. */
    readonly redriveAll: (filter: Filter) => Effect.Effect<number>
  }
>()("galleria/DeadLetters") {}

interface Row extends Omit<DeadLetter, "module" | "event" | "offset" | "waiting"> {
  readonly event: KeptValue & {
    readonly id: string
    readonly type: string
    readonly source: string
    readonly key: string | null
    readonly headers: Readonly<Record<string, string>>
  }
  readonly offset: bigint
  readonly waiting: bigint
}

const viewOf = (module: string, row: Row): DeadLetter => {
  const { id, type, source, headers } = row.event
  const said = shownOf(bytesOf(row.event).toString(), headers)
  return {
    ...row,
    module,
    offset: Number(row.offset),
    waiting: Number(row.waiting),
    event: { id, type, source, key: row.event.key ?? keyIn(said.data), headers, ...said },
  }
}

/** The dead letters of `module` in its table `held`; `changed` tells the retry worker. */
export const layer = (module: string, changed: Effect.Effect<void>) =>
  Layer.effect(
    DeadLetters,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const matching = ({ statuses = ["retrying", "parked"], reaction, type }: Filter) => [
        sql`h.status in ${sql.in(statuses)}`,
        ...(reaction === undefined ? [] : [sql`h.reaction = ${reaction}`]),
        ...(type === undefined ? [] : [sql`h.topic = ${type}`]),
      ]

      const select = (where: ReturnType<typeof sql.and>, limit: number) =>
        Effect.map(
          Effect.orDie(sql<Row>`
            select h.id, h.reaction, h.status, h.attempts, h.reason, h.error, h.event, h.topic, h.partition, h."offset",
              (select count(*) from (
                select from held w where w.reaction = h.reaction and w.key = h.key and w.pos > h.pos
                  and w.status in ('waiting', 'retrying', 'parked')
                  and h.status in ('retrying', 'parked') limit ${mostCounted}) behind) as waiting,
              h.first_failed_at, h.last_failed_at, h.due as next_attempt_at, h.redriven_at
            from held h where ${where} order by h.id desc limit ${limit}`),
          (rows) => rows.map((row) => viewOf(module, row)),
        )

      const shown = sql`h.status <> 'waiting'`

      return {
        list: (filter, before, limit) =>
          select(sql.and([...matching(filter), ...(before === undefined ? [] : [sql`h.id < ${before}`])]), limit),

        find: (id) => Effect.map(select(sql.and([sql`h.id = ${id}`, shown]), 1), ([entry]) => entry),

        redrive: (id) =>
          Effect.gen(function* () {
            const now = new Date(yield* Clock.currentTimeMillis)
            const rows = yield* Effect.orDie(sql`
              update held set status = 'retrying', attempts = 0, due = ${now}, redriven_at = ${now}
              where id = ${id} and status in ('retrying', 'parked') returning pos`)
            yield* changed
            return rows.length > 0
          }),

        discard: (id) =>
          Effect.gen(function* () {
            const rows = yield* Effect.orDie(sql`
              with ended as (
                update held set status = 'discarded', due = null
                where id = ${id} and status in ('retrying', 'parked') returning pos, reaction, key),
              marked as (
                update held set ready = true from ended
                where held.pos = (select h.pos from held h where h.reaction = ended.reaction and h.key = ended.key
                    and h.pos > ended.pos and h.status in ('waiting', 'retrying', 'parked') order by h.pos limit 1)
                  and held.status = 'waiting')
              select pos from ended`)
            yield* changed
            return rows.length > 0
          }),

        redriveAll: (filter) =>
          Effect.gen(function* () {
            const now = new Date(yield* Clock.currentTimeMillis)
            // Locked in one order, whoever asks at the same time.
            const rows = yield* Effect.orDie(sql`
              with open as (
                select h.pos from held h where ${sql.and(matching({ ...filter, statuses: ["retrying", "parked"] }))}
                order by h.pos for update)
              update held set status = 'retrying', attempts = 0, due = ${now}, redriven_at = ${now}
              from open where held.pos = open.pos returning held.pos`)
            yield* changed
            return rows.length
          }),
      }
    }),
  )
