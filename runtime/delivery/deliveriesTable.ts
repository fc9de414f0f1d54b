import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"
import { partitionOf } from "../events/partition.ts"
import { Deliveries } from "./Deliveries.ts"

/** `Deliveries` by the tables `position` and `held` of a module whose reactions these are. */
export const layer = (reactions: ReadonlyArray<{ readonly name: string; readonly event: { readonly type: string } }>) =>
  Layer.effect(
    Deliveries,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const bus = yield* EventBus

      return {
        ends: (events, key) =>
          Effect.map(bus.ends(events.map(({ type }) => type)), (ends) =>
            events.flatMap(({ type }) => {
              const own = ends.filter(({ topic }) => topic === type)
              return own.filter(({ partition }) => partition === partitionOf(key, own.length))
            }),
          ),

        caughtUp: (ends, held) =>
          Effect.gen(function* () {
            const names = reactions.filter(({ event }) => ends.some(({ topic }) => topic === event.type))
            const behind = yield* sql`
              select 1 from json_to_recordset(${JSON.stringify(ends)}::json) as e (topic text, partition int, next bigint)
              left join position p on p.topic = e.topic and p.partition = e.partition
              where coalesce(p.next, 0) < e.next
              union all
              select 1 from held where status in ('waiting', 'retrying', 'parked') and key = ${held}
                and reaction in (select json_array_elements_text(${JSON.stringify(names.map(({ name }) => name))}::json))
              limit 1`
            return behind.length === 0
          }).pipe(Effect.orDie),
      }
    }),
  )
