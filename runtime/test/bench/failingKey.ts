import { Context, Effect, Fiber, Latch, Layer, Logger, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { drivers } from "../../drivers.ts"
import { makeConsumer } from "../../delivery/consumer.ts"
import { makeRetryTurn } from "../../delivery/retry.ts"
import { encode } from "../../events/cloudEvents.ts"
import { define } from "../../events/Event.ts"
import { EventBus } from "../../events/EventBus.ts"
import { loop, Loops, makeLoops } from "../../loop/loop.ts"
import { all } from "../../module/Reaction.ts"
import { Databases } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import type { Case, Finding } from "./Case.ts"
import { median, spread } from "./statistics.ts"

const keys = 1_000
const events = 40_000
const rounds = 5

const Happened = define("happened", {
  data: Schema.Struct({ n: Schema.Int, user_id: Schema.Int }),
  key: "user_id",
  subject: "n",
})

const recordOf = (topic: string, n: number) =>
  encode({
    id: `event-${n}`,
    source: "/galleria/bench",
    type: topic,
    version: 1,
    key: String(n % keys),
    subject: String(n),
    time: "2026-01-01T00:00:00.000Z",
    traceparent: null,
    data: JSON.stringify({ n, user_id: n % keys }),
  })

/** Events of other keys in a second, through the log, the consumer and a projection, while one key fails or none does. */
const run = (name: string, fails: (key: number) => boolean) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const topic = `happened_${name}`
    const ports = yield* Layer.build((yield* Databases).of(`bench_${name}`))
    const sql = Context.get(ports, SqlClient.SqlClient)
    yield* Effect.provideContext(migrate({}), ports)
    yield* sql`create table applied (n bigint primary key, user_id bigint not null)`
    yield* bus.ensure([{ name: topic, partitions: undefined, retention: undefined }])
    for (let n = 0; n < events; n += 500) {
      yield* bus.send(Array.from({ length: 500 }, (_, i) => recordOf(topic, n + i)))
    }
    const reactions = [
      all({
        name: "bench.apply",
        event: { ...Happened, type: topic },
        handle: (batch) =>
          Effect.gen(function* () {
            if (batch.some(({ data }) => fails(data.user_id))) return yield* Effect.die(new Error("it fails for ever"))
            const rows = JSON.stringify(batch.map(({ data }) => data))
            yield* Effect.orDie(sql`insert into applied (n, user_id) select n, user_id
              from json_to_recordset(${rows}::json) as x (n bigint, user_id bigint)`)
          }),
      }),
    ]
    const module = { module: `bench_${name}`, reactions }
    const turn = yield* Effect.provideContext(makeRetryTurn(module), ports)
    const handle = yield* Effect.provideContext(makeConsumer(module), ports)
    const worker = yield* Effect.forkScoped(
      loop({ name: `${name}.retry`, turn, wake: Latch.makeUnsafe(true), poll: "1 second" }),
    )
    const others = events - (events / keys) * Array.from({ length: keys }, (_, key) => key).filter(fails).length
    const from = performance.now()
    yield* bus.consume({ group: `group_${name}`, topics: [topic], handle })
    for (;;) {
      const lag = yield* bus.lag(`group_${name}`)
      if (lag.length > 0 && lag.every(({ records }) => records === 0)) break
      yield* Effect.promise(() => sleep(20))
    }
    const seconds = (performance.now() - from) / 1_000
    yield* Fiber.interrupt(worker)
    const [applied] = yield* sql<{ n: number }>`select count(*)::int as n from applied`
    if (applied!.n !== others) throw new Error(`${applied!.n} events of other keys took effect, not ${others}`)
    return others / seconds
  }).pipe(Effect.scoped)

/** A key of a thousand fails for ever, from the first event on: what the others lose by it. */
export const failingKey: Case = {
  name: "failing-key",
  run: async ({ say }) => {
    const dataDir = await mkdtemp(join(tmpdir(), "galleria-bench-"))
    const found = await Effect.gen(function* () {
      const pairs: Array<{ readonly none: number; readonly one: number }> = []
      yield* run("warm_up", () => false)
      for (let round = 1; round <= rounds; round++) {
        // Who goes first takes turns.
        const order = round % 2 === 0 ? (["one", "none"] as const) : (["none", "one"] as const)
        const rates = { none: 0, one: 0 }
        for (const which of order) rates[which] = yield* run(`${which}_${round}`, (key) => which === "one" && key === 7)
        say(`round ${round} of ${rounds}: ${rates.one.toFixed(0)}/s, ${rates.none.toFixed(0)}/s while none fails`)
        pairs.push(rates)
      }
      return pairs
    })
      .pipe(
        Effect.provide([
          Layer.provideMerge(drivers({ dataDir, kafka: undefined }), Layer.sync(Loops, makeLoops)),
          Logger.layer([]),
        ]),
        Effect.scoped,
        Effect.runPromise,
      )
      .finally(() => rm(dataDir, { recursive: true, force: true }))
    const ratios = found.map(({ one, none }) => one / none)
    return [
      {
        name: `events of other keys while 1 key of ${keys} fails`,
        unit: "/s",
        value: median(found.map(({ one }) => one)),
        baseline: { what: "while none fails", value: median(found.map(({ none }) => none)) },
        ratio: median(ratios),
        bar: { of: "ratio", least: 0.9 },
        how: `a backlog of ${events} events through the embedded log, consumer and projection; medians of ${rounds} rounds, ratios ${spread(ratios, 2)}`,
      } satisfies Finding,
    ]
  },
}
