import { Effect } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { type Draft, draft, type Outbox } from "./Outbox.ts"

/** The outbox in the table `outbox` of a module's database. Runs `wake` when there is something to relay. */
export const outboxTable = (sql: SqlClient.SqlClient, wake: Effect.Effect<void>): Outbox["Service"] => {
  const insert = (rows: Statement.Fragment) => sql`
    insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
    select d.event_id, d.type, d.version, r.key, r.subject, d.time, d.traceparent,
      case when r.assigned is null then d.data else completed(r.assigned, d.data) end
    from (${rows}) as r (n, draft, key, subject, assigned)
    cross join lateral json_to_record(r.draft) as d (event_id text, type text, version int, time timestamptz, traceparent text, data text)
    order by r.n`

  const append: Outbox["Service"]["append"] = Effect.fnUntraced(function* (facts) {
    if (facts.length === 0) return []
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

  return { append, insert, wake }
}
