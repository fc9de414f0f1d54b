import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { inbox } from "./inbox.ts"
import { suiteOnEveryDatabase } from "../test/harness/suite.ts"
import type { Deliveries } from "../module/Deliveries.ts"
import { deliveriesSuite, type Subject } from "./suite/DeliveriesSuite.ts"
import { make } from "./deliveriesTable.ts"
import { makePositions, type ModulePositions } from "./positions.ts"
import type { Move } from "./positionTable.ts"

const right: Subject = { positions: makePositions, deliveries: make }

/** Gives a module another answer. */
const telling = (
  change: (deliveries: Deliveries["Service"], sql: SqlClient.SqlClient) => Partial<Deliveries["Service"]>,
): Subject => ({
  ...right,
  deliveries: (reactions) =>
    Effect.gen(function* () {
      const deliveries = yield* make(reactions)
      return { ...deliveries, ...change(deliveries, yield* SqlClient.SqlClient) }
    }),
})

/** Moves positions otherwise. */
const moving = (
  change: (positions: ModulePositions, sql: SqlClient.SqlClient) => ModulePositions["advance"],
): Subject => ({
  ...right,
  positions: (options) =>
    Effect.gen(function* () {
      const positions = yield* makePositions(options)
      const advance = change(positions, yield* SqlClient.SqlClient)
      const moveAll: ModulePositions["moveAll"] = (spans) =>
        advance(spans.flatMap((span) => positions.seated(span).map(({ reaction }) => ({ ...span, reaction }))))
      return { ...positions, advance, moveAll }
    }),
})

/** Sets positions, whatever they were. */
const setting = (sql: SqlClient.SqlClient, moves: ReadonlyArray<Move>) =>
  Effect.as(
    Effect.forEach(
      moves,
      ({ reaction, topic, partition, next }) => sql`
        update position set next = ${next}
        where reaction = ${reaction} and topic = ${topic} and partition = ${partition}`,
    ),
    new Map<string, number>(),
  )

/** A position that stays where a transaction added a dead letter. */
const movesOnlyByEffects = (): Subject => {
  let hasFailed = false
  const own: typeof inbox = (sql) => {
    const { addDeadLetters, takeCharge, ...statements } = inbox(sql)
    return {
      ...statements,
      takeCharge: (deliveries) => Effect.suspend(() => ((hasFailed = false), takeCharge(deliveries))),
      addDeadLetters: (deadLetters) =>
        Effect.suspend(() => ((hasFailed ||= deadLetters.length > 0), addDeadLetters(deadLetters))),
    }
  }
  return {
    ...moving(
      ({ advance }) =>
        (moves) =>
          Effect.suspend(() => (hasFailed ? Effect.succeed(new Map<string, number>()) : advance(moves))),
    ),
    inbox: own,
  }
}

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
          (handle, { moveAll }) =>
          (records, spans = []) =>
            Effect.andThen(moveAll(spans), handle(records, spans)),
      },
      caughtBy: "moves the position with the inbox rows and the effects, or not at all",
    },
    {
      name: "a position that a late member moves back",
      subject: moving((_positions, sql) => (moves) => setting(sql, moves)),
      caughtBy: "never moves back, whatever comes again",
    },
    {
      name: "a position that moves over what was not handled",
      subject: moving((_positions, sql) => (moves) => setting(sql, moves)),
      caughtBy: "leaves no gap: what comes before its turn changes nothing",
    },
    {
      name: "a position that does not move with dead letters",
      subject: movesOnlyByEffects(),
      caughtBy: "moves behind events that become dead letters, alone, in halves or in a queue",
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
