import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { order } from "../../modules/order/module.ts"
import { onEveryDatabase, Scenario } from "../test/harness/scenario.ts"

/** An answer takes a quarter of this on a machine with nothing else to do. */
const mostMillis = 2_000

const each = await onEveryDatabase([order])
each("Operators of many dead letters", (it) => {
  it.effect("are answered in time with 100,000 dead letters of 40 causes", () =>
    Effect.gen(function* () {
      const { database, get, post } = yield* Scenario
      const sql = database("order")
      for (let from = 0; from < 100_000; from += 10_000) {
        yield* sql`
          insert into held (id, reaction, key, source, event_id, status, attempts, reason, error, topic, partition,
            "offset", event, first_failed_at, last_failed_at, created_at, cause)
          select lpad(n::text, 8, '0'), 'order.gone', 'k' || n, '/s', 'e' || n, 'parked', 1, 'failed', 'no', 't', 0, n,
            '{"value":"{}","headers":{},"id":"e","type":"t","source":"/s","key":null}', now(), now(), now(), 'c' || n % 40
          from generate_series(${from}::int, ${from + 9_999}::int) n`
      }
      yield* sql`analyze held`
      const paths = [
        "/admin/dead-letters/groups",
        "/admin/dead-letters?limit=50",
        "/admin/dead-letters?cause=c3",
        "/admin/overview",
      ]
      for (const path of paths) {
        const millis: Array<number> = []
        for (let n = 0; n < 5; n++) {
          const before = performance.now()
          expect((yield* get(path)).status).toBe(200)
          millis.push(performance.now() - before)
        }
        expect([path, Math.min(...millis) < mostMillis]).toEqual([path, true])
      }
      const before = performance.now()
      const { body } = yield* post("/admin/dead-letters/discard", { cause: "c3" })
      expect(body).toMatchObject({ discarded: 500, remaining: 2_000 })
      expect(performance.now() - before).toBeLessThan(2 * mostMillis)
    }),
  )
})
