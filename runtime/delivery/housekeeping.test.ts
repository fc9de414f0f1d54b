import { expect, layer } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, References, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { define } from "../events/Event.ts"
import { Databases } from "../sql/Database.ts"
import { migrate } from "../sql/migrate.ts"
import { drivers } from "../testing/memory.ts"
import { clocksAgree, housekeepingTurn } from "./housekeeping.ts"

const eventOf = (type: string, keptForever: boolean) =>
  define(type, { data: Schema.Struct({}), key: () => "a", subject: () => "a", keptForever })

const reactions = [
  { name: "shop.note", event: eventOf("noted", false) },
  { name: "shop.learn", event: eventOf("learnt", true) },
]

/** A clock that shows this time. */
const at = (millis: () => number) =>
  Effect.map(Clock.Clock, (clock) =>
    Object.assign(Object.create(clock) as Clock.Clock, { currentTimeMillis: Effect.sync(millis) }),
  )

layer(drivers(), { excludeTestServices: true })("housekeeping", (it) => {
  it.effect("forgets what nobody can ask for any more, in as many turns as it takes, and nothing else", () =>
    Effect.gen(function* () {
      yield* migrate({})
      const sql = yield* SqlClient.SqlClient
      let now = 0
      const clock = yield* at(() => now)
      const turn = housekeepingTurn({ reactions, retention: Duration.days(30) }).pipe(
        Effect.provideService(Clock.Clock, clock),
      )
      const pass = (duration: Duration.Input) => void (now += Duration.toMillis(duration))
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

      pass("23 hours")
      expect(yield* turn).toBe(false)
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 2_500, held: all })

      pass("2 hours")
      yield* Effect.repeat(turn, { while: (more) => more })
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 0, held: all })

      pass("58 days")
      expect(yield* turn).toBe(false)
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 0, held: all })

      pass("1 day")
      yield* Effect.repeat(turn, { while: (more) => more })
      // The inbox rows of two dead letters that are open stay: a copy of one must not take effect.
      expect(yield* left).toEqual({ noted: 2, learnt: 2_500, answers: 0, held: "waiting retrying parked" })
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("shop"))))),
  )

  it.effect("trusts no clock that differs from the database's by more than five minutes", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const agree = (minutes: number) =>
        Effect.gen(function* () {
          const [row] = yield* sql<{ now: Date }>`select clock_timestamp() as now`
          const millis = row!.now.getTime() + minutes * 60_000
          return yield* Effect.provideService(clocksAgree, Clock.Clock, yield* at(() => millis))
        })
      const trusted = yield* Effect.forEach([-90_000, -6, -4, 0, 4, 6, 90_000], agree)
      expect(trusted).toEqual([false, false, true, true, true, false, false])
    }).pipe(
      Effect.provideService(References.MinimumLogLevel, "None"),
      Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("clocks")))),
    ),
  )
})
