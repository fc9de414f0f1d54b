import { Clock, Effect, Option, Schema } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import type { SqlClient, Statement } from "effect/sql"
import type { EventType } from "../events/Event.ts"
import { placeIn, traceparentOf } from "../telemetry/trace.ts"
import { type Draft, maxBytes, notPublished, type Outbox } from "./Outbox.ts"

/** Who writes into an outbox, and which events. */
export interface Publisher {
  readonly name: string
  readonly publishes: ReadonlyArray<EventType>
}

/** The outbox in the table `outbox` of a module's database. Runs `wake` when there is something to relay. */
export const outboxTable = (
  sql: SqlClient.SqlClient,
  wake: Effect.Effect<void>,
  { name, publishes }: Publisher,
): Outbox["Service"] => {
  const draft: Outbox["Service"]["draft"] = (event, data, assigned) =>
    publishes.includes(event)
      ? draftOf(event, { ...data, ...assigned }, Object.keys(assigned ?? {}))
      : Effect.die(new Error(notPublished(name, event.type)))

  // The transaction has its id before its events take their `seq` (DELIVERY.md, *The outbox floor*).
  const insert = (rows: Statement.Fragment) => sql`
    with writer as materialized (select pg_current_xact_id())
    insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
    select d.event_id, d.type, d.version, r.key, r.subject, d.time, d.traceparent,
      case when r.assigned is null then d.data else completed(r.assigned, d.data) end
    from writer cross join (${rows}) as r (n, draft, key, subject, assigned)
    cross join lateral json_to_record(r.draft) as d (event_id text, type text, version int, time timestamptz, traceparent text, data text)
    order by r.n`

  const append: Outbox["Service"]["append"] = Effect.fnUntraced(function* (facts) {
    if (facts.length === 0) return []
    if (Option.isNone(yield* Effect.serviceOption(sql.transactionService))) {
      return yield* Effect.die(new Error(`${facts[0]!.event.type} is appended outside of a transaction`))
    }
    const drafts: Array<Draft> = []
    for (const { event, data } of facts) drafts.push(yield* draft(event, data))
    const rows = facts.map(({ event, data }, n) => ({
      n,
      draft: drafts[n],
      key: event.key(data),
      subject: event.subject(data),
    }))
    yield* Effect.orDie(
      insert(sql`
        select n, draft, key, subject, null::text
        from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, draft json, key text, subject text)`),
    )
    yield* sql.afterCommit(wake)
    return drafts
  })

  return { append, draft, insert, wake }
}

const draftOf = (event: EventType, data: unknown, leftOut: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const place = placeIn(yield* Effect.context())
    const encoded = Schema.encodeSync(event.data)(data)
    for (const member of leftOut) delete encoded[member]
    const text = JSON.stringify(encoded)
    if (Buffer.byteLength(text) > maxBytes) {
      return yield* Effect.die(new Error(`${event.type} is larger than ${maxBytes} bytes`))
    }
    return {
      event_id: uuidV7Unsafe(),
      type: event.type,
      version: event.version,
      time: new Date(now).toISOString(),
      traceparent: place === undefined ? null : traceparentOf(place),
      data: text,
    }
  })
