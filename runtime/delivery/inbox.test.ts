import { Effect } from "effect"
import { suiteOnEveryDatabase } from "../test/harness/suite.ts"
import { inbox } from "./inbox.ts"
import { inboxSuite, type Subject } from "./suite/InboxSuite.ts"

// Deliberate mistakes, each one small change of the protocol: variants that DELIVERY.md lists under *Taking charge*.

const noGate: Subject = {
  inbox: (sql) => ({ ...inbox(sql), heldKeys: () => Effect.succeed(() => false) }),
}

const gateInTheStatement: Subject = {
  inbox: (sql) => {
    const held = new WeakSet<object>()
    return {
      ...inbox(sql),
      takeCharge: (deliveries) => {
        const given = deliveries.map(({ reaction, source, event_id, key }, n) => ({
          n,
          reaction,
          source,
          event_id,
          key,
        }))
        return Effect.map(
          sql<{ n: number; held: boolean }>`
            with given as (
              select distinct on (reaction, source, event_id) * from json_to_recordset(${JSON.stringify(given)}::json)
                as x (n int, reaction text, source text, event_id text, key text) order by reaction, source, event_id, n),
            taken as (
              insert into inbox (reaction, source, event_id, taken_at)
              select reaction, source, event_id, now() from given order by n
              on conflict do nothing returning reaction, source, event_id)
            select n, exists (select from held h where (h.reaction, h.key) = (given.reaction, given.key)
              and h.status in ('waiting', 'retrying', 'parked')) as held
            from given join taken using (reaction, source, event_id) order by n`,
          (rows) =>
            rows.map((row) => {
              const delivery = deliveries[row.n]!
              if (row.held) held.add(delivery)
              return delivery
            }),
        )
      },
      heldKeys: () => Effect.succeed((delivery) => held.has(delivery)),
    }
  },
}

const rowWithTheEffect: Subject = {
  inbox: (sql) => {
    const statements = inbox(sql)
    const forget = (deadLetters: ReadonlyArray<object>) => sql`
      delete from inbox where (reaction, source, event_id) in (
        select reaction, source, event_id from json_to_recordset(${JSON.stringify(deadLetters)}::json)
          as x (reaction text, source text, event_id text))`
    return {
      ...statements,
      addDeadLetters: (deadLetters) =>
        Effect.asVoid(Effect.andThen(statements.addDeadLetters(deadLetters), forget(deadLetters))),
    }
  },
}

const offsetFirst: Subject = { answer: (handle) => (records) => Effect.asVoid(Effect.forkDetach(handle(records))) }

await suiteOnEveryDatabase("Inbox", {
  checks: inboxSuite,
  right: {},
  mistakes: [
    {
      name: "no gate",
      subject: noGate,
      caughtBy: "makes a failing event a dead letter, with the later ones of its key behind it, while other keys go on",
    },
    {
      name: "the inbox row and the gate in one statement",
      subject: gateInTheStatement,
      caughtBy: "queues behind a dead letter that a zombie adds meanwhile",
      sideBySide: true,
    },
    {
      name: "an inbox row only with the effect",
      subject: rowWithTheEffect,
      caughtBy: "takes no effect from a copy of an event that was discarded, and lets its key go on",
    },
    {
      name: "the offset committed before the database",
      subject: offsetFirst,
      caughtBy: "is asked again by the bus until its transaction was committed",
    },
  ],
})
