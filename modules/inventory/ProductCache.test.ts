import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { ownRedis } from "../../runtime/test/harness/redisServer.ts"
import { eventually, Scenario, scenario } from "../../runtime/test/harness/scenario.ts"
import { inventory } from "./module.ts"

const server = await ownRedis()

describe.skipIf(server === undefined)("inventory with Redis", () => {
  const redis = server!
  layer(scenario([inventory], { REDIS_URL: redis?.url ?? "" }), { excludeTestServices: true })(
    "in one instance",
    (it) => {
      const stockOf = Effect.flatMap(Scenario, ({ get }) =>
        Effect.map(get("/inventory/MOUSE001"), ({ status, body }) => ({ status, stock: body.stock })),
      )
      const set = (stock: number) =>
        Effect.flatMap(Scenario, ({ request }) =>
          request("PUT", "/inventory/MOUSE001", { body: { product_name: "Wireless Mouse", stock } }),
        )
      /** Past what the process knows that it changed. */
      const change = (stock: number) =>
        Effect.flatMap(Scenario, ({ database }) =>
          Effect.orDie(database("inventory")`update products set stock = ${stock} where product_id = 'MOUSE001'`),
        )
      const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.gen(function* () {
          const began = performance.now()
          const answer = yield* effect
          return { answer, millis: performance.now() - began }
        })

      it.effect("answers from the cache for a moment, and never with what is a second old", () =>
        Effect.gen(function* () {
          yield* set(10)
          yield* eventually(
            Effect.gen(function* () {
              yield* stockOf
              yield* change(11)
              const { stock } = yield* stockOf
              yield* change(10)
              expect(stock).toBe(10)
            }),
          )
          yield* stockOf
          yield* change(12)
          yield* Effect.sleep("600 millis")
          expect((yield* stockOf).stock).toBe(12)
        }),
      )

      it.effect("answers without it, and shows what was set, when Redis is frozen, killed and back again", () =>
        Effect.gen(function* () {
          let stock = 100
          const works = Effect.gen(function* () {
            for (let n = 0; n < 10; n++) {
              expect((yield* set(++stock)).status).toBe(200)
              expect(yield* stockOf).toEqual({ status: 200, stock })
            }
          })
          yield* works
          redis.freeze()
          const reads = yield* Effect.forEach(Array.from({ length: 20 }), () => timed(stockOf))
          expect(reads.every(({ answer }) => answer.stock === stock)).toBe(true)
          // Three wait 50 ms for Redis, until its circuit opens; to any of them a busy machine may add more.
          const millis = reads.map((read) => read.millis)
          expect(Math.min(...millis.slice(0, 3))).toBeLessThan(500)
          expect(millis.toSorted((a, b) => a - b)[10]).toBeLessThan(500)
          yield* works
          redis.thaw()
          yield* works
          yield* Effect.promise(redis.crash)
          yield* works
          yield* Effect.promise(redis.resume)
          yield* works
          yield* Effect.sleep("1500 millis")
          yield* works
        }),
      )

      it.effect("does not show what Redis kept while it was frozen", () =>
        Effect.gen(function* () {
          yield* set(500)
          for (let n = 0; n < 5; n++) {
            yield* stockOf
            redis.freeze()
            yield* stockOf
            yield* change(501 + n)
            yield* Effect.sleep("700 millis")
            redis.thaw()
            expect((yield* stockOf).stock).toBe(501 + n)
          }
        }),
      )
    },
  )
})
