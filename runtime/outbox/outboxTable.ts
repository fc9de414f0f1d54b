import { Clock, Effect, Option, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import type { EventType } from "../events/Event.ts"
import { traceparentHere } from "../telemetry/trace.ts"
import { eventId } from "./eventId.ts"
import { type EventDraft, maxBytes, notPublished, type Outbox } from "./Outbox.ts"

/** The module that writes into an outbox, and the events that it publishes. */
export interface Publisher {
  readonly name: string
  readonly publishes: ReadonlyArray<EventType>
}

/** The outbox in the table `outbox` of a module's database. Runs `wake` when there are events to relay. */
export const outboxTable = (
  sql: SqlClient.SqlClient,
  wake: Effect.Effect<void>,
  { name, publishes }: Publisher,
): Outbox["Service"] => {
  const encoderOf = encoders()
  const draft: Outbox["Service"]["draft"] = (event, data, assigned = []) =>
    publishes.includes(event)
      ? draftOf(event, data, encoderOf(event, assigned))
      : Effect.die(new Error(notPublished(name, event.type)))

  // The transaction has its id before its events take their `seq` (DELIVERY.md, *The outbox floor*).
  const insert: Outbox["Service"]["insert"] = ({ key, subject }, rows) => sql`
    with writer as materialized (select pg_current_xact_id())
    insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
    select d.event_id, d.type, d.version, coalesce(d.key, r.assigned::json->>${key}::text),
      coalesce(d.subject, r.assigned::json->>${subject}::text), d.time, d.traceparent,
      case when r.assigned is null then d.data else completed(r.assigned, d.data) end
    from writer cross join (${rows}) as r (n, draft, assigned)
    cross join lateral json_to_record(r.draft) as d (event_id text, type text, version int, key text, subject text,
      time timestamptz, traceparent text, data text)
    order by r.n`

  const append: Outbox["Service"]["append"] = Effect.fnUntraced(function* (facts) {
    const [first] = facts
    if (first === undefined) return []
    if (Option.isNone(yield* Effect.serviceOption(sql.transactionService))) {
      return yield* Effect.die(new Error(`${first.event.type} is appended outside of a transaction`))
    }
    const drafts: Array<EventDraft> = []
    for (const { event, data } of facts) drafts.push(yield* draft(event, data))
    const rows = JSON.stringify(drafts.map((draft, n) => ({ n, draft })))
    // Nothing is assigned, so any event type may be passed.
    yield* Effect.orDie(
      sql`${insert(first.event, sql`select n, draft, null from json_to_recordset(${rows}::json) as x (n int, draft json)`)}`,
    )
    yield* sql.afterCommit(wake)
    return drafts
  })

  return { append, draft, insert, wake }
}

/** Members that are key or subject are strings or numbers. */
type Members = Readonly<Record<string, string | number | undefined>>
type Encode = (data: unknown) => Members

/** Encoders of events' data, each without some members, made once. A module publishes each type once. */
const encoders = () => {
  const made = new Map<string, Encode>()
  return (event: EventType, without: ReadonlyArray<string>): Encode => {
    const name = [event.type, ...without].join()
    const encode = made.get(name) ?? (Schema.encodeSync(withoutMembers(event.data, without)) as Encode)
    made.set(name, encode)
    return encode
  }
}

const withoutMembers = (data: EventType["data"], without: ReadonlyArray<string>): EventType["data"] => {
  if (without.length === 0) return data
  const { fields } = data as unknown as Schema.Struct<Readonly<Record<string, EventType["data"]>>>
  return Schema.Struct(Object.fromEntries(Object.entries(fields).filter(([name]) => !without.includes(name))))
}

const draftOf = (event: EventType, data: unknown, encode: Encode) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const encoded = encode(data)
    const text = JSON.stringify(encoded)
    if (Buffer.byteLength(text) > maxBytes) {
      return yield* Effect.die(new Error(`${event.type} is larger than ${maxBytes} bytes`))
    }
    return {
      event_id: yield* eventId,
      type: event.type,
      version: event.version,
      time: new Date(now).toISOString(),
      traceparent: yield* traceparentHere,
      key: textOf(encoded[event.key]),
      subject: textOf(encoded[event.subject]),
      data: text,
    }
  })

const textOf = (member: string | number | undefined) => (member === undefined ? null : String(member))

/** The outbox is counted by its index, and not further. */
export const mostPending = 100_000

/** How many events are in the outbox, at most `mostPending`, and the time of the oldest. */
export const countPending = (sql: SqlClient.SqlClient) =>
  sql<{ pending: number; oldest: Date | null }>`
    select count(*)::float8 as pending, (select time from outbox order by seq limit 1) as oldest
    from (select from outbox limit ${mostPending}) pending`

/** An event in the outbox. */
export interface UnsentRow {
  readonly type: string
  readonly time: Date
  readonly traceparent: string | null
}

/** The events in the outbox whose data name an order, out of the first `mostPending`. */
export const unsentOfOrder = (sql: SqlClient.SqlClient, order_id: number) =>
  sql<UnsentRow>`
    select type, time, traceparent from (select * from outbox order by seq limit ${mostPending}) pending
    where position(${`"order_id":${order_id}`} in data) > 0 and data::json->>'order_id' = ${String(order_id)}
    order by seq`
