import { Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import { partitionOf } from "../events/partition.ts"
import { Database } from "../sql/Database.ts"
import { Deliveries } from "../module/Deliveries.ts"

/** `Deliveries` by the tables `position` and `held` of a module whose reactions these are. */
export const layer = (reactions: ReadonlyArray<{ readonly name: string; readonly event: { readonly type: string } }>) =>
  Layer.effect(Deliveries, make(reactions))

export const make = (reactions: Parameters<typeof layer>[0]) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const bus = yield* EventBus
    /** Callers who come while the log is asked share the next answer, which is about a moment after each of them. */
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

    const caughtUp: Deliveries["Service"]["caughtUp"] = (ends, held) =>
      Effect.gen(function* () {
        const names = reactions.filter(({ event }) => ends.some(({ topic }) => topic === event.type))
        const behind = yield* sql`
          select 1 from json_to_recordset(${JSON.stringify(ends)}::json)
            as e (topic text, partition int, first bigint, next bigint)
          join json_to_recordset(${JSON.stringify(names.map(({ name, event }) => ({ reaction: name, topic: event.type })))}::json)
            as r (reaction text, topic text) on r.topic = e.topic
          left join position p on p.reaction = r.reaction and p.topic = e.topic and p.partition = e.partition
          where e.first < e.next and coalesce(p.next, 0) < e.next
          union all
          select 1 from held where status in ('waiting', 'retrying', 'parked') and key = ${held}
            and reaction in (select json_array_elements_text(${JSON.stringify(names.map(({ name }) => name))}::json))
          limit 1`
        return behind.length === 0
      }).pipe(Effect.orDie)

    return Deliveries.of({ ends, caughtUp })
  })
