import { Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import { partitionOf } from "../events/partition.ts"
import { Database } from "../sql/Database.ts"
import { Deliveries } from "../module/Deliveries.ts"
import { openDeadLetter } from "./deadLetterTable.ts"
import { positionBefore } from "./positionTable.ts"

/** `Deliveries` of the module with these reactions, from its positions and dead letters. */
export const layer = (reactions: ReadonlyArray<{ readonly name: string; readonly event: { readonly type: string } }>) =>
  Layer.effect(Deliveries, make(reactions))

export const make = (reactions: Parameters<typeof layer>[0]) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const bus = yield* EventBus
    /** Calls during a request to the log share the next request, which begins after each of them. */
    const ask = yield* (yield* Database).coalesce((asked: ReadonlyArray<ReadonlyArray<string>>) =>
      Effect.map(Effect.exit(bus.ends([...new Set(asked.flat())])), (answer) => asked.map(() => answer)),
    )

    const ends: Deliveries["Service"]["ends"] = (events, key) =>
      Effect.gen(function* () {
        if (Option.isSome(yield* Effect.serviceOption(sql.transactionService))) {
          return yield* Effect.die(new Error("the event log must not be asked in a transaction"))
        }
        const found = yield* yield* ask(events.map(({ type }) => type))
        return events.flatMap(({ type }) => {
          const own = found.filter(({ topic }) => topic === type)
          return own.filter(({ partition }) => partition === partitionOf(key, own.length))
        })
      })

    const caughtUp: Deliveries["Service"]["caughtUp"] = (ends, key) =>
      Effect.gen(function* () {
        const own = reactions
          .filter(({ event }) => ends.some(({ topic }) => topic === event.type))
          .map(({ name, event }) => ({ reaction: name, topic: event.type }))
        const names = own.map(({ reaction }) => reaction)
        const behind = yield* sql`
          ${positionBefore(sql, ends, own)}
          union all
          ${openDeadLetter(sql, key, names)}
          limit 1`
        return behind.length === 0
      }).pipe(Effect.orDie)

    return Deliveries.of({ ends, caughtUp })
  })
