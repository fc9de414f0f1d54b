import { Context, Effect } from "effect"
import type { EventType } from "../events/Event.ts"
import { encode } from "../events/cloudEvents.ts"
import { suiteOnEveryDatabase } from "../test/harness/suite.ts"
import { outboxSuite, type Subject } from "./suite/OutboxSuite.ts"
import { outboxTable } from "./outboxTable.ts"
import { relayTurn } from "./relay.ts"

const right: Subject = { outbox: outboxTable, relay: () => relayTurn }

type Row = Omit<Parameters<typeof encode>[0], "id" | "source"> & { readonly seq: bigint; readonly event_id: string }

/** What a relay may do wrong (DELIVERY.md, *Writing and relaying*). */
interface Mistakes {
  readonly deletesFirst?: true
  readonly keepsWhatItReadAhead?: true
  readonly remembersTheLast?: true
  readonly readsOnFromTheLast?: true
  readonly sharesRows?: true
  /** It reads from a floor (DELIVERY.md, *The outbox floor*) that is raised in a wrong way. */
  readonly floor?: "at once" | "by a snapshot" | "past what is in flight" | "to 1 when unused" | "for ever"
}

/** A relay in its simplest form: right, but for the mistakes. */
const simpleRelay = (mistakes: Mistakes) => (): typeof relayTurn => {
  let last = 0n
  let ahead: ReadonlyArray<Row> = []
  let floor = 0n
  return (sql, bus, source) => {
    const measure = (flying: ReadonlyArray<Row>) =>
      Effect.gen(function* () {
        const of = (what: string) =>
          Effect.map(
            sql<{ value: bigint }>`select (${sql.literal(what)})::text::bigint as value`,
            ([row]) => row!.value,
          )
        const unused = mistakes.floor === "to 1 when unused"
        const sequence = yield* of(
          unused ? "select last_value from outbox_seq_seq" : "coalesce(pg_sequence_last_value('outbox_seq_seq'), 0)",
        )
        const bySnapshot = mistakes.floor === "by a snapshot"
        const horizon = yield* of(bySnapshot ? "pg_snapshot_xmax(pg_current_snapshot())" : "pg_current_xact_id()")
        const spared = mistakes.floor === "past what is in flight" ? flying : []
        const [row] = yield* sql<{ xmin: bigint; lowest: bigint | null }>`
          select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
            (select min(seq) from outbox where seq <> all(${[0n, ...spared.map(({ seq }) => seq)]}::bigint[])) as lowest`
        if (row!.xmin < horizon && mistakes.floor !== "at once") return
        const most = row!.lowest === null || sequence < row!.lowest ? sequence : row!.lowest - 1n
        if (most > floor) floor = most
      })
    const read = (flying: ReadonlyArray<Row>, after: bigint) => sql<Row>`
      select seq, event_id, type, version, key, subject, data, traceparent,
        to_char(time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as time
      from outbox where seq <> all(${[0n, ...flying.map(({ seq }) => seq)]}::bigint[]) and seq > ${after} and seq > ${floor}
      order by seq limit 500 ${sql.literal(mistakes.sharesRows ? "for update skip locked" : "")}`
    const remove = (rows: ReadonlyArray<Row>) =>
      sql`delete from outbox where seq = any(${rows.map(({ seq }) => seq)}::bigint[])`
    const turn = Effect.gen(function* () {
      if (mistakes.floor !== undefined) yield* measure([])
      let rows = ahead.length > 0 ? ahead : yield* read([], last)
      ahead = []
      if (rows.length === 0) return false
      while (rows.length > 0) {
        if (mistakes.deletesFirst) yield* remove(rows)
        const from = mistakes.readsOnFromTheLast ? rows.at(-1)!.seq : 0n
        const next = mistakes.sharesRows ? [] : yield* read(rows, from)
        if (mistakes.keepsWhatItReadAhead) ahead = next
        if (mistakes.floor !== undefined) yield* measure(rows)
        yield* bus.send(rows.map((row) => encode({ ...row, id: row.event_id, source })))
        yield* remove(rows)
        ahead = []
        if (mistakes.remembersTheLast) last = rows.at(-1)!.seq
        rows = next
      }
      return true
    })
    return mistakes.sharesRows ? sql.withTransaction(turn) : turn
  }
}

const relaying = (mistakes: Mistakes): Subject => ({ ...right, relay: simpleRelay(mistakes) })

/** Its transaction may get its id from the row that is written, when that has its `seq`. */
const getsItsIdLate: Subject = {
  ...right,
  outbox: (sql, wake, publisher) => {
    const outbox = outboxTable(sql, wake, publisher)
    const insert: typeof outbox.insert = (_event, rows) => sql`
      insert into outbox (event_id, type, version, key, subject, time, traceparent, data)
      select d.event_id, d.type, d.version, d.key, d.subject, d.time, d.traceparent, d.data
      from (${rows}) as r (n, draft, assigned)
      cross join lateral json_to_record(r.draft)
        as d (event_id text, type text, version int, key text, subject text, time timestamptz, traceparent text, data text)`
    return { ...outbox, insert }
  },
}

const wakesAtOnce: Subject = {
  ...right,
  outbox: (sql, wake, publisher) => {
    const outbox = outboxTable(sql, wake, publisher)
    return { ...outbox, append: (facts) => Effect.tap(outbox.append(facts), () => outbox.wake) }
  },
}

/** Writes whatever it is given, wherever. */
const writesAnything: Subject = {
  ...right,
  outbox: (sql, wake, publisher) => {
    const outbox = (event: EventType) => outboxTable(sql, wake, { ...publisher, publishes: [event] })
    return {
      ...outboxTable(sql, wake, publisher),
      append: (facts) => Effect.orDie(sql.withTransaction(outbox(facts[0]!.event).append(facts))),
      draft: (event, data, assigned) => outbox(event).draft(event, data, assigned),
    }
  },
}

const appendsByItself: Subject = {
  ...right,
  outbox: (sql, wake, publisher) => {
    const outbox = outboxTable(sql, wake, publisher)
    const append: typeof outbox.append = (facts) =>
      Effect.updateContext(
        Effect.orDie(sql.withTransaction(outbox.append(facts))),
        Context.omit(sql.transactionService),
      )
    return { ...outbox, append }
  },
}

await suiteOnEveryDatabase("Outbox", {
  checks: outboxSuite,
  right,
  mistakes: [
    {
      name: "a relay that deletes before the acknowledgement",
      subject: relaying({ deletesFirst: true }),
      caughtBy: "loses nothing and keeps the order when a bus refuses, at send 1",
    },
    {
      name: "a relay that goes on with what it read ahead after a failed send",
      subject: relaying({ keepsWhatItReadAhead: true }),
      caughtBy: "loses nothing and keeps the order when a bus refuses, at send 1",
    },
    {
      name: "a relay that remembers the last event it sent",
      subject: relaying({ remembersTheLast: true }),
      caughtBy: "sends an event that is committed after later ones were sent",
      sideBySide: true,
    },
    {
      name: "a relay that reads on from the last event in flight",
      subject: relaying({ readsOnFromTheLast: true }),
      caughtBy: "keeps the order of an aggregate whose first event is committed while a backlog drains",
      sideBySide: true,
    },
    {
      name: "a relay whose floor is the value of the sequence at once",
      subject: relaying({ floor: "at once" }),
      caughtBy: "sends an event that is committed after later ones were sent",
      sideBySide: true,
    },
    {
      name: "a relay whose floor is raised by a snapshot's xmax",
      subject: relaying({ floor: "by a snapshot" }),
      caughtBy: "sends an event whose transaction is the newest",
      sideBySide: true,
    },
    {
      name: "a relay whose floor passes what is in flight",
      subject: relaying({ floor: "past what is in flight" }),
      caughtBy: "loses nothing and keeps the order when a bus refuses, at send 1",
    },
    {
      name: "a relay whose floor is 1 before the sequence was used",
      subject: relaying({ floor: "to 1 when unused" }),
      caughtBy: "sends the first event of an outbox that was empty before",
    },
    {
      name: "a relay that keeps its floor when the outbox is another one",
      subject: relaying({ floor: "for ever" }),
      caughtBy: "carries what an outbox holds that was restored with what was in it, whose rows are of lower numbers",
    },
    {
      name: "a relay that keeps its floor when the sequence was set back",
      subject: relaying({ floor: "for ever" }),
      caughtBy: "carries what an outbox holds that was restored in place, whose rows are of lower numbers",
    },
    {
      name: "a relay that has no floor",
      subject: relaying({}),
      caughtBy: "does not scan deleted rows while a transaction can still see them",
      sideBySide: true,
    },
    {
      name: "an outbox whose transaction gets its id after the seq of its event",
      subject: getsItsIdLate,
      caughtBy: "carries an event that has taken its seq and is not written yet, by insert",
      sideBySide: true,
    },
    {
      name: "relays that share the rows between them",
      subject: relaying({ sharesRows: true }),
      caughtBy: "only makes copies when a relay is overtaken by another, at send 1",
      sideBySide: true,
    },
    {
      name: "an outbox that wakes the relay before the commit",
      subject: wakesAtOnce,
      caughtBy: "wakes the relay once the transaction has committed, and not when it is rolled back",
    },
    {
      name: "an outbox that writes what its module does not publish",
      subject: writesAnything,
      caughtBy: "dies of an event that the module does not publish, and writes nothing",
    },
    {
      name: "an outbox that writes outside of a transaction",
      subject: writesAnything,
      caughtBy: "dies of an event that is appended outside of a transaction, and writes nothing",
    },
    {
      name: "an outbox that appends in a transaction of its own",
      subject: appendsByItself,
      caughtBy: "never sends an event that was rolled back",
      sideBySide: true,
    },
  ],
})
