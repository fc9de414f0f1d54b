import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { bytesOf, type KeptValue } from "../inbox/Inbox.ts"

/** The statuses of an entry as people see them; what waits behind an entry is counted with it. */
export const Status = Schema.Literals(["retrying", "parked", "resolved", "redriven", "discarded"])
export type Status = typeof Status.Type

export const Instant = Schema.DateFromString.pipe(Schema.annotateEncoded({ format: "date-time" }))

/** An event that stepped aside. */
export const DeadLetter = Schema.Struct({
  id: Schema.String,
  module: Schema.String,
  reaction: Schema.String,
  status: Status,
  attempts: Schema.Int,
  reason: Schema.NullOr(Schema.String),
  error: Schema.NullOr(Schema.String),
  event: Schema.Struct({
    id: Schema.String,
    type: Schema.String,
    source: Schema.String,
    time: Schema.NullOr(Schema.String),
    key: Schema.NullOr(Schema.String),
    data: Schema.Unknown,
    headers: Schema.Record(Schema.String, Schema.String),
  }),
  topic: Schema.String,
  partition: Schema.Int,
  offset: Schema.Int,
  waiting: Schema.Int,
  first_failed_at: Schema.NullOr(Instant),
  last_failed_at: Schema.NullOr(Instant),
  next_attempt_at: Schema.NullOr(Instant),
  redriven_at: Schema.NullOr(Instant),
}).annotate({ identifier: "DeadLetter" })
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
  readonly key: string | null
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

const dataOf = (event: Row["event"]): unknown => {
  const text = bytesOf(event).toString()
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const viewOf = (module: string, { key, ...row }: Row): DeadLetter => {
  const { id, type, source, headers } = row.event
  const time = headers["ce_time"] ?? null
  return {
    ...row,
    module,
    offset: Number(row.offset),
    waiting: Number(row.waiting),
    event: { id, type, source, time, key: row.event.key ?? key, data: dataOf(row.event), headers },
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
            select h.id, h.reaction, h.key, h.status, h.attempts, h.reason, h.error, h.event, h.topic, h.partition, h."offset",
              (select count(*) from held w where w.reaction = h.reaction and w.key = h.key and w.pos > h.pos
                and w.status in ('waiting', 'retrying', 'parked')
                and h.status in ('retrying', 'parked')) as waiting,
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
              update held set status = 'discarded', due = null
              where id = ${id} and status in ('retrying', 'parked') returning pos`)
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
