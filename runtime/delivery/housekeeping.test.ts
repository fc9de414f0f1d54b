import { expect, layer } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, References, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { define, type EventType } from "../events/Event.ts"
import { EventBus, EventBusError, type Retention } from "../events/EventBus.ts"
import { Databases } from "../sql/Database.ts"
import { migrate } from "../sql/migrate.ts"
import { drivers } from "../test/harness/memory.ts"
import { clocksAgree, housekeepingTurn } from "./housekeeping.ts"

const eventOf = (type: string, keptForever: boolean) =>
  define(type, { data: Schema.Struct({ n: Schema.optionalKey(Schema.Int) }), key: "n", subject: "n", keptForever })

const retentionOf = ({ keptForever }: EventType) => (keptForever ? undefined : Duration.days(30))

const reactions = [
  { name: "shop.note", event: eventOf("noted", false) },
  { name: "shop.learn", event: eventOf("learnt", true) },
]

/** Does the work at a time since the epoch. By a clock of its own: moved by days, the test clock runs every loop there is. */
const at = <A, E, R>(age: Duration.Input, work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Effect.provideService(
      work,
      Clock.Clock,
      Object.assign(Object.create(clock), { currentTimeMillis: Effect.succeed(Duration.toMillis(age)) }),
    ),
  )

layer(drivers())("housekeeping", (it) => {
  it.effect("deletes what is needed no more, in as many turns as it takes, and nothing else", () =>
    Effect.gen(function* () {
      yield* migrate({})
      const sql = yield* SqlClient.SqlClient
      const turn = housekeepingTurn({ reactions, retention: retentionOf })
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
      yield* at("23 hours", turns)
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 2_500, held: all })

      yield* at("25 hours", turns)
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 0, held: all })

      yield* at("59 days", turns)
      expect(yield* left).toEqual({ noted: 2_503, learnt: 2_500, answers: 0, held: all })

      expect(yield* at("61 days", turn)).toBe(true)
      const noted = (yield* left)!["noted"]
      // One statement of it deletes a part only.
      expect(noted).toBeGreaterThan(0)
      expect(noted).toBeLessThan(2_503)
      yield* at("61 days", turns)
      // The inbox rows of two dead letters that are open stay: a copy of one must not take effect.
      expect(yield* left).toEqual({ noted: 2, learnt: 2_500, answers: 0, held: "waiting retrying parked" })
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("shop"))))),
  )

  it.effect("keeps inbox rows for longer than the log keeps the records, whatever is wanted", () =>
    Effect.gen(function* () {
      yield* migrate({})
      const sql = yield* SqlClient.SqlClient
      const bus = yield* EventBus
      let found: Effect.Effect<ReadonlyArray<Retention>, EventBusError>
      const turn = Effect.provideService(
        housekeepingTurn({ reactions, retention: () => Duration.days(30) }),
        EventBus,
        {
          ...bus,
          retentions: () => Effect.suspend(() => found),
        },
      )
      const left = Effect.map(sql`select reaction from inbox order by reaction`, (rows) =>
        rows.map(({ reaction }) => reaction),
      )
      yield* sql`truncate inbox, held`
      yield* sql`
        insert into inbox (reaction, source, event_id, taken_at)
        select r, '/shop', 'e', '1970-01-01' from unnest(array['shop.note', 'shop.learn', 'shop.removed']) r`
      const is = (topic: string, days?: number): Retention => ({
        topic,
        retention: days === undefined ? undefined : Duration.days(days),
        sooner: undefined,
      })

      found = Effect.fail(new EventBusError({ operation: "read retentions", cause: new Error("away") }))
      yield* at("70 days", turn)
      expect(yield* left).toEqual(["shop.learn", "shop.note"])
      found = Effect.succeed([is("noted", 90), is("learnt")])
      yield* at("71 days", turn)
      expect(yield* left).toEqual(["shop.learn", "shop.note"])
      yield* at("121 days", turn)
      expect(yield* left).toEqual(["shop.learn"])
      found = Effect.succeed([is("learnt", 7)])
      yield* at("122 days", turn)
      expect(yield* left).toEqual([])
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("shop"))))),
  )

  it.effect("trusts no clock that differs from the database's by more than five minutes", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const agree = (minutes: number) =>
        Effect.gen(function* () {
          const [row] = yield* sql<{ now: Date }>`select clock_timestamp() as now`
          return yield* at(row!.now.getTime() + minutes * 60_000, clocksAgree)
        })
      const trusted = yield* Effect.forEach([-90_000, -6, -4, 0, 4, 6, 90_000], agree)
      expect(trusted).toEqual([false, false, true, true, true, false, false])
    }).pipe(
      Effect.provideService(References.MinimumLogLevel, "None"),
      Effect.provide(Layer.unwrap(Effect.map(Databases, (databases) => databases.of("clocks")))),
    ),
  )
})
