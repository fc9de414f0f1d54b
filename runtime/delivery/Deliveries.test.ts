import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Handle } from "../events/EventBus.ts"
import { inbox } from "../inbox/Inbox.ts"
import { suiteOnEveryDatabase } from "../testing/suite.ts"
import type { Deliveries } from "./Deliveries.ts"
import { deliveriesSuite, type Subject } from "./DeliveriesSuite.ts"
import { make } from "./deliveriesTable.ts"

const right: Subject = { deliveries: make }

/** Tells a module something else. */
const telling = (
  change: (deliveries: Deliveries["Service"], sql: SqlClient.SqlClient) => Partial<Deliveries["Service"]>,
): Subject => ({
  deliveries: (reactions) =>
    Effect.gen(function* () {
      const deliveries = yield* make(reactions)
      return { ...deliveries, ...change(deliveries, yield* SqlClient.SqlClient) }
    }),
})

/** Hands on what there is, if there is anything. */
const some = (handle: Handle, records: ReadonlyArray<Parameters<Handle>[0][number]>) => {
  const [first, ...rest] = records
  return first === undefined ? Effect.void : handle([first, ...rest])
}

const eachPosition = (records: Parameters<Handle>[0]) =>
  records.map(({ topic, partition, offset }) => ({ topic, partition, next: offset + 1 }))

const openKey = "has not caught up with a key while a dead letter of it is open, and has with any other"
const asksTheLog = "learns from the log where the partition of a key ends, each time it is asked"

await suiteOnEveryDatabase("Deliveries", {
  checks: deliveriesSuite,
  right,
  mistakes: [
    {
      name: "a position that moves before the effect",
      subject: {
        ...right,
        answer:
          (handle, { sql }) =>
          (records) =>
            Effect.andThen(
              Effect.forEach(eachPosition(records), (position) => inbox(sql).advance([position])),
              handle(records),
            ),
      },
      caughtBy: "moves the position with the inbox rows and the effects, or not at all",
    },
    {
      name: "a position that does not move behind records without a value",
      subject: {
        ...right,
        answer: (handle) => (records) =>
          some(
            handle,
            records.filter(({ value }) => value !== null),
          ),
      },
      caughtBy: "has a position for each partition, behind records without a value and without a meaning",
    },
    {
      name: "a position that a late member moves back",
      subject: {
        ...right,
        inbox: (sql) => ({
          ...inbox(sql),
          advance: (positions) =>
            Effect.forEach(
              positions,
              ({ topic, partition, next }) => sql`
                insert into position (topic, partition, next) values (${topic}, ${partition}, ${next})
                on conflict (topic, partition) do update set next = excluded.next`,
              { discard: true },
            ),
        }),
      },
      caughtBy: "never moves back, whatever comes again",
    },
    {
      name: "a position that does not move with what steps aside",
      subject: {
        ...right,
        inbox: (sql) => {
          let hasFailed = false
          const statements = inbox(sql)
          return {
            ...statements,
            setAside: (entries) =>
              Effect.andThen(
                Effect.sync(() => (hasFailed = entries.length > 0)),
                statements.setAside(entries),
              ),
            advance: (positions) => (hasFailed ? Effect.void : statements.advance(positions)),
          }
        },
      },
      caughtBy: "moves behind events that step aside, alone, in halves or in a queue",
    },
    {
      name: "a question that does not ask for the position",
      subject: telling(({ caughtUp }) => ({ caughtUp: (_ends, held) => caughtUp([], held) })),
      caughtBy: "has caught up once every record before the end is taken charge of",
    },
    {
      name: "a question that waits for records that are gone",
      subject: telling(({ caughtUp }) => ({
        caughtUp: (ends, held) =>
          caughtUp(
            ends.map((end) => ({ ...end, first: 0 })),
            held,
          ),
      })),
      caughtBy: "waits for no record that is not kept any more",
    },
    {
      name: "a question that ignores dead letters",
      subject: telling(({ caughtUp }) => ({ caughtUp: (ends) => caughtUp(ends, "no such key") })),
      caughtBy: openKey,
    },
    {
      name: "a question about the dead letters of all keys",
      subject: telling(({ caughtUp }, sql) => ({
        caughtUp: (ends) =>
          Effect.gen(function* () {
            const open = yield* Effect.orDie(sql`select from held where status in ('waiting', 'retrying', 'parked')`)
            return open.length === 0 && (yield* caughtUp(ends, ""))
          }),
      })),
      caughtBy: openKey,
    },
    {
      name: "a question about the dead letters of all reactions",
      subject: telling(({ caughtUp }, sql) => ({
        caughtUp: (ends, held) =>
          Effect.gen(function* () {
            const open = yield* Effect.orDie(sql`select from held where status = 'retrying' and key = ${held}`)
            return open.length === 0 && (yield* caughtUp(ends, held))
          }),
      })),
      caughtBy: "asks for the member of the data by which reactions are held, and for reactions to these topics alone",
    },
    {
      name: "an end of the log that was asked before",
      subject: telling(({ ends }) => {
        const known = new Map<string, Effect.Success<ReturnType<typeof ends>>>()
        return {
          ends: (events, key) => {
            const end = known.get(key)
            if (end !== undefined) return Effect.succeed(end)
            return Effect.tap(ends(events, key), (found) => Effect.sync(() => known.set(key, found)))
          },
        }
      }),
      caughtBy: asksTheLog,
    },
    {
      name: "an end of another partition",
      subject: telling(({ ends }) => ({ ends: (events, key) => ends(events, `${key}?`) })),
      caughtBy: asksTheLog,
    },
    {
      name: "an answer of the log that was under way when its caller came",
      subject: telling(({ ends }) => {
        let asking: ReturnType<typeof ends> | undefined
        return {
          ends: (events, key) =>
            Effect.gen(function* () {
              asking ??= yield* Effect.cached(ends(events, key))
              return yield* asking
            }),
        }
      }),
      caughtBy: "asks the log after each caller has come, however many come at once",
    },
  ],
})
