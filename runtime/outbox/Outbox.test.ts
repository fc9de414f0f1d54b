import { Context, Effect } from "effect"
import type { EventType } from "../events/Event.ts"
import { encode } from "../events/cloudEvents.ts"
import { suiteOnEveryDatabase } from "../testing/suite.ts"
import { outboxSuite, type Subject } from "./OutboxSuite.ts"
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
}

/** A relay in its simplest form: right, but for the mistakes. */
const simpleRelay = (mistakes: Mistakes) => (): typeof relayTurn => {
  let last = 0n
  let ahead: ReadonlyArray<Row> = []
  return (sql, bus, source) => {
    const read = (flying: ReadonlyArray<Row>, after: bigint) => sql<Row>`
      select seq, event_id, type, version, key, subject, data, traceparent,
        to_char(time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as time
      from outbox where seq <> all(${[0n, ...flying.map(({ seq }) => seq)]}::bigint[]) and seq > ${after}
      order by seq limit 500 ${sql.literal(mistakes.sharesRows ? "for update skip locked" : "")}`
    const remove = (rows: ReadonlyArray<Row>) =>
      sql`delete from outbox where seq = any(${rows.map(({ seq }) => seq)}::bigint[])`
    const turn = Effect.gen(function* () {
      let rows = ahead.length > 0 ? ahead : yield* read([], last)
      ahead = []
      if (rows.length === 0) return false
      while (rows.length > 0) {
        if (mistakes.deletesFirst) yield* remove(rows)
        const from = mistakes.readsOnFromTheLast ? rows.at(-1)!.seq : 0n
        const next = mistakes.sharesRows ? [] : yield* read(rows, from)
        if (mistakes.keepsWhatItReadAhead) ahead = next
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
      caughtBy: "carries an event that is committed after later ones were sent",
      sideBySide: true,
    },
    {
      name: "a relay that reads on from the last event in flight",
      subject: relaying({ readsOnFromTheLast: true }),
      caughtBy: "keeps the order of an aggregate whose first event is committed while a backlog drains",
      sideBySide: true,
    },
    {
      name: "relays that share the rows between them",
      subject: relaying({ sharesRows: true }),
      caughtBy: "only copies when a relay is overtaken by another, at send 1",
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
      caughtBy: "never shows what was rolled back",
      sideBySide: true,
    },
  ],
})
