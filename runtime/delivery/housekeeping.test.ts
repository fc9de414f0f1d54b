import { expect, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { define } from "../events/Event.ts"
import { Databases } from "../sql/Database.ts"
import { migrate } from "../sql/migrate.ts"
import * as EmbeddedDatabase from "../sql/embedded/EmbeddedDatabase.ts"
import { postgres } from "../testing/memory.ts"
import { housekeepingTurn } from "./housekeeping.ts"

const eventOf = (type: string, keptForever: boolean) =>
  define(type, { data: Schema.Struct({}), key: () => "a", subject: () => "a", keptForever })

const reactions = [
  { name: "shop.note", event: eventOf("noted", false) },
  { name: "shop.learn", event: eventOf("learnt", true) },
]

layer(Layer.provide(EmbeddedDatabase.layer, postgres()))("housekeeping", (it) => {
  it.effect("forgets what nobody can ask for any more, in as many turns as it takes, and nothing else", () =>
    Effect.gen(function* () {
      yield* migrate({})
      const sql = yield* SqlClient.SqlClient
      const turn = housekeepingTurn({ reactions, retention: Duration.days(30) })
      const remember = (n: number) => sql`
        with inboxed as (
          insert into inbox (reaction, source, event_id, taken_at)
          select r, '/shop', 'e' || n, '1970-01-01' from generate_series(1, ${n}) n, unnest(array['shop.note', 'shop.learn']) r),
        stuck as (
          insert into inbox (reaction, source, event_id, taken_at)
          select 'shop.note', '/shop', status, '1970-01-01' from unnest(array['waiting', 'parked', 'discarded']) status),
        answered as (
          insert into idempotency (scope, key, hash, created_at) select 'POST', n::text, '', '1970-01-01' from generate_series(1, ${n}) n)
        insert into held (id, reaction, key, source, event_id, event, topic, partition, "offset", status, attempts, created_at, last_failed_at)
        select status, 'shop.note', status, '/shop', status, '{}', 'noted', 0, 0, status, 1, '1970-01-01', '1970-01-01'
        from unnest(array['waiting', 'retrying', 'parked', 'resolved', 'redriven', 'discarded']) status`
      const left = Effect.gen(function* () {
        const [counts] = yield* sql`
          select (select count(*)::int from inbox where reaction = 'shop.note') as noted,
            (select count(*)::int from inbox where reaction = 'shop.learn') as learnt,
            (select count(*)::int from idempotency) as answers,
            (select string_agg(status, ' ' order by pos) from held) as held`
        return counts
      })
      yield* remember(2_500)
      const all = "waiting retrying parked resolved redriven discarded"

      const turns = Effect.repeat(turn, { while: (more) => more })
      yield* TestClock.adjust("23 hours")
      yield* turns
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 2_500, held: all })

      yield* TestClock.adjust("2 hours")
      yield* turns
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 0, held: all })

      yield* TestClock.adjust("58 days")
      yield* turns
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 0, held: all })

      yield* TestClock.adjust("1 day")
      expect(yield* turn).toBe(true)
      const noted = (yield* left)!["noted"]
      // One statement of it deletes a part only.
      expect(noted).toBeGreaterThan(0)
      expect(noted).toBeLessThan(2_503)
      yield* turns
      // The inbox rows of two dead letters that are open stay: a copy of one must not take effect.
      expect(yield* left).toEqual({ noted: 2, learnt: 2_500, answers: 0, held: "waiting retrying parked" })
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("shop"))))),
  )
})
