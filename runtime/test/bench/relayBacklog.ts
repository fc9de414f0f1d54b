import { Effect } from "effect"
import pg from "pg"
import { EventBus } from "../../events/EventBus.ts"
import { relayTurn } from "../../outbox/relay.ts"
import type { Case, Finding } from "./Case.ts"
import { fillOutbox, relayingClient } from "./kafkaRelay.ts"
import { overKafka } from "./overKafka.ts"
import { median, spread } from "./statistics.ts"

const backlog = 1_000_000
const few = 50_000
const rounds = 3
/** How long the other transaction is open, and the relay is watched. */
const openMillis = 60_000
const topic = "relayed"

interface Round {
  /** Events in a second. */
  readonly fresh: number
  readonly backlog: number
  /** In the last tenth of the time. */
  readonly atEnd: number
  /** Of a few events behind as many dead rows. */
  readonly behind: number
}

/**
 * A backlog of a million while a foreign transaction stays open, as a dump or a report does: until that ends, what
 * was relayed and deleted is still in the table, for the other to see. Then a few events more, behind a million dead rows.
 */
export const relayBacklog: Case = {
  name: "relay-backlog",
  run: async ({ say }) => findingsOf(await measure(say)),
}

const measure = (say: (line: string) => void) =>
  overKafka(({ url }) =>
    Effect.gen(function* () {
      const bus = yield* EventBus
      const sql = yield* relayingClient
      yield* bus.ensure([{ name: topic, partitions: 6, retention: undefined }])

      /** One relay: each call relays until nothing is left or the time is over, and says how many events were when. */
      const newRelay = () => {
        let marks: Array<{ readonly millis: number; readonly sent: number }> = []
        let from = 0
        let sent = 0
        const send: EventBus["Service"]["send"] = (records) =>
          Effect.tap(bus.send(records), () =>
            Effect.sync(() => {
              sent += records.length
              marks.push({ millis: performance.now() - from, sent })
            }),
          )
        const turn = relayTurn(sql, { send }, "/galleria/bench")
        return (within: number) =>
          Effect.gen(function* () {
            from = performance.now()
            marks = []
            sent = 0
            while ((yield* turn) && performance.now() - from < within);
            return marks
          })
      }
      const rateOf = (marks: ReadonlyArray<{ readonly millis: number; readonly sent: number }>) =>
        (marks.at(-1)!.sent * 1_000) / marks.at(-1)!.millis

      const empty = sql`truncate outbox`
      const fresh = Effect.gen(function* () {
        yield* empty
        yield* fillOutbox(sql, few, topic)
        return rateOf(yield* newRelay()(Infinity))
      })

      yield* fresh
      const found: Array<Round> = []
      for (let n = 1; n <= rounds; n++) {
        const before = yield* fresh
        yield* empty
        say(`round ${n} of ${rounds}: making ${backlog} events`)
        yield* fillOutbox(sql, backlog, topic)
        yield* sql`analyze outbox`
        const { marks, behind } = yield* Effect.scoped(
          Effect.gen(function* () {
            yield* transactionOpenAt(url)
            const relay = newRelay()
            const marks = yield* relay(openMillis)
            yield* sql`delete from outbox`
            yield* fillOutbox(sql, few, topic)
            return { marks, behind: rateOf(yield* relay(Infinity)) }
          }),
        )
        const late = marks.filter(({ millis }) => millis > marks.at(-1)!.millis * 0.9)
        const [first, last] = [late[0]!, late.at(-1)!]
        const atEnd = ((last.sent - first.sent) * 1_000) / (last.millis - first.millis)
        const round = { fresh: before, backlog: rateOf(marks), atEnd, behind }
        found.push(round)
        say(
          `round ${n} of ${rounds}: ${round.backlog.toFixed(0)}/s, ${atEnd.toFixed(0)}/s at its end, ${behind.toFixed(0)}/s behind it, ${before.toFixed(0)}/s of a fresh table`,
        )
      }
      return found
    }),
  )

/** A foreign transaction, which has read something and stays idle while the scope is open. */
const transactionOpenAt = (connectionString: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString })
      await client.connect()
      await client.query("begin isolation level repeatable read")
      await client.query("select count(*) from pg_class")
      return client
    }),
    (client) => Effect.promise(() => client.end()),
  )

const findingsOf = (found: ReadonlyArray<Round>): ReadonlyArray<Finding> => {
  const ratios = found.map(({ fresh, backlog }) => backlog / fresh)
  const atEnd = found.map(({ fresh, atEnd }) => atEnd / fresh)
  const behind = found.map(({ fresh, behind }) => behind / fresh)
  const baseline = { what: `of a fresh table with ${few}`, value: median(found.map(({ fresh }) => fresh)) }
  return [
    {
      name: `relay of a backlog of ${backlog} events while a transaction is open`,
      unit: "/s",
      value: median(found.map(({ backlog }) => backlog)),
      baseline,
      ratio: median(ratios),
      bar: { of: "ratio", least: 0.8 },
      how: `from PostgreSQL to Kafka, until nothing is left, at most ${openMillis / 1_000} s, in which the transaction was open; medians of ${rounds} rounds, ratios ${spread(ratios, 2)}; in the last tenth of the time ${median(atEnd).toFixed(2)} of a fresh table`,
    },
    {
      name: `relay of ${few} events behind ${backlog} dead rows while a transaction is open`,
      unit: "/s",
      value: median(found.map(({ behind }) => behind)),
      baseline,
      ratio: median(behind),
      bar: { of: "ratio", least: 0.8 },
      how: `by the relay that has sent the backlog, while the transaction was still open; medians of ${rounds} rounds, ratios ${spread(behind, 2)}`,
    },
  ]
}
