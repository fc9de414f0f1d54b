import { Clock, Context, Effect, Layer, Schema } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { SqlClient } from "effect/sql"
import { keyIn } from "../events/cloudEvents.ts"
import { Instant } from "../http/Instant.ts"
import {
  deadLetterOperations,
  type Filter,
  type ListedDeadLetter,
  mostCounted,
  recordOf,
} from "../delivery/deadLetterTable.ts"
import {
  type ActionRow,
  actionTable,
  type BulkAction,
  type GroupRow,
  type NewAction,
  operationTable,
} from "../delivery/operationTable.ts"
import type { ValidationFailed } from "../http/Problem.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { checkEdited, withData } from "./edit.ts"
import type { Operation } from "./Operation.ts"
import { type Contracts, contractsOf, textOf, withoutMails, withoutSecrets } from "./personal.ts"
import { shownOf } from "./shown.ts"

/** The statuses of a dead letter as operators see them; those that only wait are counted with the one before them. */
export const Status = Schema.Literals(["retrying", "parked", "resolved", "redriven", "discarded"]).annotate({
  description: "`parked` waits for an operator; `resolved`, `redriven` and `discarded` have ended.",
})
export type Status = typeof Status.Type

const said = {
  id: Schema.String,
  type: Schema.String,
  source: Schema.String,
  time: Schema.NullOr(Schema.String),
  key: Schema.NullOr(Schema.String),
}
const data = Schema.Unknown.annotateKey({ description: "As received; text where it is not JSON." })
const headers = Schema.Record(Schema.String, Schema.String)

const example = {
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
} as const

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
  event: Schema.Struct({ ...said, data, headers }),
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
      examples: [example],
    }),
  )
export type DeadLetter = typeof DeadLetter.Type

/** A dead letter in a list: with `brief` it has neither data nor headers. */
export const DeadLetterInList = Schema.Struct({
  ...DeadLetter.fields,
  event: Schema.Struct({ ...said, data: Schema.optionalKey(data), headers: Schema.optionalKey(headers) }),
})
  .annotate({ identifier: "DeadLetterInList", description: "A dead letter in a list." })
  .pipe(Schema.annotateEncoded({ examples: [example] }))

/** Whether personal data is hidden; left out: it is not. */
export type Personal = "hide" | "show" | undefined

/** A redrive or discard of many. `until`, `operation` and `limit` bound one call of it. */
export interface ManyChanged {
  readonly action: BulkAction
  readonly filter: Filter
  readonly operation: string
  readonly limit: number
  readonly actor: string
}

/**
 * The dead letters of one module, for operators. A change waits for the worker that has the dead letter locked, then
 * compares its status again, and changes nothing when it has ended. It is recorded as an action in the same transaction.
 */
export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** At most `limit`, newest first, from before the id given; without record and attempts. */
    readonly list: (
      filter: Filter,
      before: string | undefined,
      limit: number,
      personal?: Personal,
    ) => Effect.Effect<ReadonlyArray<DeadLetter>>
    readonly find: (id: string, personal?: Personal) => Effect.Effect<DeadLetter | undefined>
    /** Records something that an operator did, such as to look at personal data. */
    readonly record: (done: Omit<NewAction, "id" | "at">) => Effect.Effect<void>
    /** Makes it due now, with 0 attempts. Returns whether that changed it. */
    readonly redrive: (id: string, actor?: string) => Effect.Effect<boolean>
    /**
     * Redrives it with other data, JSON text that is stored as it is; the record as received is kept beside it. Fails, and
     * changes nothing, when the data does not satisfy the event's schema.
     */
    readonly redriveWith: (id: string, data: string, actor?: string) => Effect.Effect<boolean, ValidationFailed>
    /** Ends it without effect, and its key goes on. Returns whether that changed it. */
    readonly discard: (id: string, actor?: string) => Effect.Effect<boolean>
    /** Changes at most `limit` that match and were not changed by the operation; leaves out what a worker has locked. */
    readonly changeMany: (
      change: ManyChanged,
    ) => Effect.Effect<{ readonly changed: number; readonly remaining: number }>
    /** Groups of open ones by cause, the largest first, and how many more there are. */
    readonly groups: (
      filter: Filter,
    ) => Effect.Effect<{ readonly groups: ReadonlyArray<GroupRow>; readonly more: number }>
    /** The action of an operation, and what became of its dead letters; undefined when it changed none here. */
    readonly operation: (id: string) => Effect.Effect<
      | {
          readonly action: ActionRow
          readonly outcomes: ReadonlyArray<{ readonly outcome: keyof Operation["counts"]; readonly n: number }>
        }
      | undefined
    >
    /** What operators did in this module, newest first, from before the id given. */
    readonly actions: (before: string | undefined, limit: number) => Effect.Effect<ReadonlyArray<ActionRow>>
  }
>()("galleria/DeadLetters") {}

/** More of a record is not shown. */
const mostRaw = 64 * 1024

const orderIn = (data: unknown): number | undefined => {
  const id = typeof data === "object" && data !== null && "order_id" in data ? Number(data.order_id) : Number.NaN
  return Number.isSafeInteger(id) && id > 0 ? id : undefined
}

/** The text of a row's record, as received or as edited. */
const textIn = (
  row: ListedDeadLetter,
  event: NonNullable<ListedDeadLetter["original"]>,
  hidden: Contracts | undefined,
): string => textOf(recordOf({ ...row, event: { ...row.event, ...event } }), hidden)

const viewOf = (module: string, row: ListedDeadLetter, hidden: Contracts | undefined): DeadLetter => {
  const { log: _log, original: _original, ...shownRow } = row
  const { id, type, source, headers } = row.event
  const shown = shownOf(textIn(row, row.event, hidden), headers)
  const order_id = orderIn(shown.data)
  return {
    ...shownRow,
    module,
    error: withoutMails(row.error),
    offset: Number(row.offset),
    waiting: Number(row.waiting),
    event: {
      id,
      type,
      source,
      key: row.event.key ?? keyIn(shown.data),
      headers: withoutSecrets(headers),
      ...shown,
    },
    ...(order_id === undefined ? {} : { order_id }),
    edited: row.original !== null,
  }
}

/** A single dead letter also has its record and its attempts. */
const wholeOf = (module: string, row: ListedDeadLetter, hidden: Contracts | undefined): DeadLetter => {
  const rawOf = (event: NonNullable<ListedDeadLetter["original"]>) =>
    event.encoding === undefined || hidden !== undefined ? textIn(row, event, hidden).slice(0, mostRaw) : null
  const { original } = row
  return {
    ...viewOf(module, row, hidden),
    raw: rawOf(row.event),
    attempt_log: (row.log ?? []).map(({ at, error, ...attempt }) => ({
      ...attempt,
      error: withoutMails(error),
      at: new Date(at),
    })),
    ...(original === null
      ? {}
      : {
          original: {
            data: shownOf(textIn(row, original, hidden), original.headers).data,
            raw: rawOf(original),
          },
        }),
  }
}

/** The actor of calls that do not name one, such as those of tests. */
const unnamed = "token"

interface Options {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  /** Runs after each change, to wake the retry worker. */
  readonly changed: Effect.Effect<void>
}

/** The dead letters in the database of a module. */
export const layer = ({ module, reactions, changed }: Options) =>
  Layer.effect(
    DeadLetters,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { transaction } = yield* Database
      const table = deadLetterOperations(sql)
      const bulk = operationTable(sql)
      const actions = actionTable(sql)
      const contracts = contractsOf(reactions.map(({ event }) => event))
      const hiddenIf = (personal: Personal) => (personal === "hide" ? contracts : undefined)
      const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis))

      const recordAction = (done: Omit<NewAction, "id" | "at">) =>
        Effect.flatMap(now, (at) => actions.record({ id: uuidV7Unsafe(), at, ...done }))

      /** Changes one dead letter, and records that in the same transaction. */
      const changeOne = (action: BulkAction, id: string, actor = unnamed) =>
        transaction(
          Effect.gen(function* () {
            const at = yield* now
            const rows = yield* action === "redrive" ? table.redrive(id, at) : table.discard(id, at)
            if (rows.length === 0) return false
            yield* recordAction({ actor, action, target: `dead letter ${id}`, details: { module } })
            return true
          }),
        ).pipe(Effect.orDie, Effect.tap(changed))

      const redriveWith = (id: string, data: string, actor = unnamed) =>
        transaction(
          Effect.gen(function* () {
            const [row] = yield* Effect.orDie(table.lockOpen(id))
            if (row === undefined) return false
            const record = withData(recordOf(row), data)
            yield* checkEdited(record, row.reaction, reactions)
            yield* Effect.orDie(table.redriveWith(row, record, yield* now))
            const details = { module, edited: true }
            yield* Effect.orDie(recordAction({ actor, action: "redrive", target: `dead letter ${id}`, details }))
            return true
          }),
        ).pipe(Effect.tap(changed))

      const changeMany = ({ action, filter, operation, limit, actor }: ManyChanged) =>
        Effect.gen(function* () {
          const count = yield* transaction(
            Effect.gen(function* () {
              const count = yield* bulk.change(action, filter, operation, limit, yield* now)
              const { statuses: _, ...which } = filter
              const details = { module, ...which, count }
              if (count > 0) yield* recordAction({ actor, action, target: "all that match", details, operation })
              return count
            }),
          )
          return { changed: count, remaining: yield* bulk.remaining(filter, operation) }
        }).pipe(Effect.orDie, Effect.tap(changed))

      return {
        list: (filter, before, limit, personal) =>
          Effect.map(Effect.orDie(table.list(filter, before, limit)), (rows) =>
            rows.map((row) => viewOf(module, row, hiddenIf(personal))),
          ),
        find: (id, personal) =>
          Effect.map(Effect.orDie(table.find(id)), ([row]) =>
            row === undefined ? row : wholeOf(module, row, hiddenIf(personal)),
          ),
        record: (done) => Effect.asVoid(Effect.orDie(recordAction(done))),
        redrive: (id, actor) => changeOne("redrive", id, actor),
        redriveWith,
        discard: (id, actor) => changeOne("discard", id, actor),
        changeMany,
        groups: (filter) =>
          Effect.map(Effect.orDie(bulk.groups(filter)), ({ groups, more }) => ({
            groups: groups.map((group) => ({ ...group, error: withoutMails(group.error) })),
            more,
          })),
        operation: (id) =>
          Effect.gen(function* () {
            const [action] = yield* actions.ofOperation(id)
            return action === undefined ? undefined : { action, outcomes: yield* bulk.outcomes(id) }
          }).pipe(Effect.orDie),
        actions: (before, limit) => Effect.orDie(actions.list(before, limit)),
      }
    }),
  )
