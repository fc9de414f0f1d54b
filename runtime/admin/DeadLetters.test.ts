import { Effect } from "effect"
import { inbox } from "../delivery/inbox.ts"
import { suiteOnEveryDatabase } from "../test/harness/suite.ts"
import { deadLettersSuite, type Subject } from "./suite/DeadLettersSuite.ts"

/** The statements as they are, but for one part. */
const changing = (part: RegExp, by = ""): Subject => ({ statement: (text) => text.replace(part, by) })

const doesNotAsk: Subject = {
  inbox: (sql) => {
    const statements = inbox(sql)
    return {
      ...statements,
      takeCharge: (deliveries) =>
        Effect.map(statements.takeCharge(deliveries), (fresh) => (deliveries.length === 1 ? [...deliveries] : fresh)),
    }
  },
}

// Deliberate mistakes, each one small change of the protocol: variants that DELIVERY.md lists under *Taking charge*, and
// more.
await suiteOnEveryDatabase("DeadLetters", {
  checks: deadLettersSuite,
  right: {},
  mistakes: [
    {
      name: "a second transaction that does not ask the inbox again",
      subject: doesNotAsk,
      caughtBy: "makes no dead letter of what another member applied while its own batch failed",
    },
    {
      name: "a worker without lock",
      subject: changing(/for update of h skip locked/u),
      caughtBy: "leaves to another worker what that one has in hand, with its key, and takes the next key",
      sideBySide: true,
    },
    {
      name: "a worker that does not remember since when an event is postponed",
      subject: changing(/postponed_at = \S+/u, "postponed_at = first_failed_at"),
      caughtBy:
        "counts the 24 hours from the first time of the last postponements in a row, not from an earlier failure",
    },
    {
      name: "a redrive without the status",
      subject: changing(/(set status = 'retrying'[\s\S]+where id = \S+) and status in \([^)]*\)/u, "$1"),
      caughtBy: "changes nothing on a dead letter that is discarded",
    },
    {
      name: "a discard without the status",
      subject: changing(/(set status = 'discarded'[\s\S]+where id = \S+) and status in \([^)]*\)/u, "$1"),
      caughtBy: "changes nothing on a dead letter that is resolved",
    },
    {
      name: "a redrive with other data without the status",
      subject: changing(/(select pos, reaction[\s\S]+where id = \S+) and status in \([^)]*\)/u, "$1"),
      caughtBy: "changes nothing on a dead letter that is discarded",
    },
    {
      name: "a redrive with other data that keeps the record from before the last edit",
      subject: changing(/coalesce\(original, event\)/u, "event"),
      caughtBy: "redrives an event with other data in its place in its key, and keeps the text that came first",
    },
    {
      name: "a worker that takes any event of a key that is due",
      subject: changing(/status = 'waiting' and ready/u, "status = 'waiting'"),
      caughtBy: "tries only the first event of a key, however long the others wait",
    },
    {
      name: "a worker that ends an event and does not mark the next of its key",
      subject: changing(/update held set ready = true where pos = /u, "select 1 where 0 <> "),
      caughtBy: "drains more of a key than one turn takes, while others get their turn",
    },
    {
      name: "a worker that relies on the marks alone",
      subject: changing(/where head\.status = 'waiting' and not head\.ready/u, "where false"),
      caughtBy: "finds an event within a minute that was queued at the moment when what was in front of it ended",
    },
    {
      name: "a discard that does not mark the next of its key",
      subject: changing(/and held\.status = 'waiting'\)/u, "and false)"),
      caughtBy: "queues what comes behind an event that waits for an operator, and takes it after that",
    },
    {
      name: "a worker that looks past an event that waits for an operator",
      subject: changing(/('waiting', 'retrying'), 'parked'(\) order by pos limit 1\) head)/u, "$1$2"),
      caughtBy: "queues what comes behind an event that waits for an operator, and takes it after that",
    },
    {
      name: "reactions that ignore the member they are held by",
      subject: { reaction: (reaction) => ({ ...reaction, heldBy: undefined }) },
      caughtBy: "holds back only later events with the same value, when the reaction is held by a member of the data",
    },
  ],
})
