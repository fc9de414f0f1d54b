import { Clock, Context, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { keyIn } from "../events/cloudEvents.ts"
import { Instant } from "../http/Instant.ts"
import {
  bytesOf,
  deadLetterOperations,
  type Filter,
  type ListedDeadLetter,
  mostCounted,
} from "../delivery/deadLetterTable.ts"
import { shownOf } from "./shown.ts"

/** The statuses of a dead letter as operators see them; those that only wait are counted with the one before them. */
export const Status = Schema.Literals(["retrying", "parked", "resolved", "redriven", "discarded"]).annotate({
  description: "`parked` waits for an operator; `resolved`, `redriven` and `discarded` have ended.",
})
export type Status = typeof Status.Type

/** A dead letter as operators see it. */
export const DeadLetter = Schema.Struct({
  id: Schema.String.annotate({ format: "uuid" }),
  module: Schema.String,
  reaction: Schema.String.annotate({ description: "`*` for a record that cannot be read." }),
  status: Status,
  attempts: Schema.Natural.annotate({ description: "How often it was tried, or was tried since it was redriven." }),
  reason: Schema.NullOr(Schema.String).annotate({
    description:
      "The kind of failure: `failed`, `schema`, `rejected`, `postponed`, `unavailable`, `newer-version` or `malformed`.",
  }),
  error: Schema.NullOr(Schema.String).annotate({ description: "The error of the last attempt." }),
  event: Schema.Struct({
    id: Schema.String,
    type: Schema.String,
    source: Schema.String,
    time: Schema.NullOr(Schema.String),
    key: Schema.NullOr(Schema.String),
    data: Schema.Unknown.annotateKey({ description: "As received; text where it is not JSON." }),
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
  ended_at: Schema.optionalKey(Schema.NullOr(Instant)).annotate({ description: "Null while it is open." }),
  cause: Schema.optionalKey(
    Schema.NullOr(Schema.String).annotate({
      description: "The same for the same reaction, reason and error, numbers aside.",
    }),
  ),
  order_id: Schema.optionalKey(Schema.Natural.annotate({ description: "The order that its event is about." })),
  raw: Schema.optionalKey(
    Schema.NullOr(Schema.String).annotate({
      description: "The record as text, at most 64 KiB; null where it is not text. Only of a single dead letter.",
    }),
  ),
  attempt_log: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        at: Instant,
        error: Schema.NullOr(Schema.String),
        took_ms: Schema.NullOr(Schema.Finite),
      }),
    ).annotate({ description: "Its attempts: the first 5 and the last 15. Only of a single dead letter." }),
  ),
  edited: Schema.optionalKey(Schema.Boolean.annotate({ description: "Whether it was redriven with other data." })),
  original: Schema.optionalKey(
    Schema.Struct({ data: Schema.Unknown, raw: Schema.NullOr(Schema.String) }).annotate({
      description: "The data as received, of one that was redriven with other data. Only of a single dead letter.",
    }),
  ),
})
  .annotate({ identifier: "DeadLetter", description: "An event that a reaction could not handle." })
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

/**
 * The dead letters of one module, for operators. A change waits for the worker that has the dead letter locked, then
 * compares its status again, and changes nothing when it has ended.
 */
export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** At most `limit`, newest first, from before the id given. */
    readonly list: (
      filter: Filter,
      before: string | undefined,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<DeadLetter>>
    readonly find: (id: string) => Effect.Effect<DeadLetter | undefined>
    /** Makes it due now, with 0 attempts. Returns whether that changed it. */
    readonly redrive: (id: string) => Effect.Effect<boolean>
    /** Ends it without effect, and its key goes on. Returns whether that changed it. */
    readonly discard: (id: string) => Effect.Effect<boolean>
    /** Redrives all open dead letters that match, and returns how many. */
    readonly redriveAll: (filter: Filter) => Effect.Effect<number>
  }
>()("galleria/DeadLetters") {}

const viewOf = (module: string, row: ListedDeadLetter): DeadLetter => {
  const { id, type, source, headers } = row.event
  const shown = shownOf(bytesOf(row.event).toString(), headers)
  return {
    ...row,
    module,
    offset: Number(row.offset),
    waiting: Number(row.waiting),
    event: { id, type, source, key: row.event.key ?? keyIn(shown.data), headers, ...shown },
  }
}

/** The dead letters in the database of `module`. Runs `changed` after each change, to wake the retry worker. */
export const layer = (module: string, changed: Effect.Effect<void>) =>
  Layer.effect(
    DeadLetters,
    Effect.gen(function* () {
      const table = deadLetterOperations(yield* SqlClient.SqlClient)
      const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis))

      const views = <E>(rows: Effect.Effect<ReadonlyArray<ListedDeadLetter>, E>) =>
        Effect.map(Effect.orDie(rows), (all) => all.map((row) => viewOf(module, row)))

      /** How many rows a statement changed. */
      const change = <E>(rows: Effect.Effect<ReadonlyArray<unknown>, E>) =>
        Effect.map(Effect.tap(Effect.orDie(rows), changed), ({ length }) => length)

      return {
        list: (filter, before, limit) => views(table.list(filter, before, limit)),
        find: (id) => Effect.map(views(table.find(id)), ([deadLetter]) => deadLetter),
        redrive: (id) => Effect.map(change(Effect.flatMap(now, (at) => table.redrive(id, at))), (count) => count > 0),
        discard: (id) => Effect.map(change(table.discard(id)), (count) => count > 0),
        redriveAll: (filter) => change(Effect.flatMap(now, (at) => table.redriveAll(filter, at))),
      }
    }),
  )
