import { describe, expect, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Latch, References } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { loop, Loops, makeLoops } from "../loop/loop.ts"
import { type Check, type Health, healthRoutes } from "./health.ts"

/** Asks the routes themselves, for there is no server whose clock could be moved. */
const routes = (health: Health, checks: ReadonlyArray<Check> = []) =>
  Effect.gen(function* () {
    yield* healthRoutes(health, checks)
    const router = yield* HttpRouter.HttpRouter
    return (path: string) =>
      Effect.gen(function* () {
        const request = HttpServerRequest.fromWeb(new Request(`http://localhost${path}`))
        const answer = yield* Effect.provideService(router.asHttpEffect(), HttpServerRequest.HttpServerRequest, request)
        const response = HttpServerResponse.toWeb(answer)
        return { status: response.status, body: yield* Effect.promise(() => response.json()) }
      }).pipe(Effect.scoped)
  })

const inTest = <A, E>(test: Effect.Effect<A, E, any>) =>
  test.pipe(
    Effect.scoped,
    Effect.provide(HttpRouter.layer),
    Effect.provideService(Loops, makeLoops()),
    Effect.provideService(References.MinimumLogLevel, "None"),
  ) as Effect.Effect<A, E>

const running: Health = { state: "running" }

/** A loop that runs this in each turn, and polls every second unless given another interval. */
const looping = (name: string, turn: Effect.Effect<boolean, unknown>, poll: Duration.Input = "1 second") =>
  Effect.forkChild(loop({ name, turn, wake: Latch.makeUnsafe(true), poll }))

describe("/livez", () => {
  it.effect("succeeds while loops turn, also without work, and when every turn fails", () =>
    inTest(
      Effect.gen(function* () {
        const get = yield* routes(running)
        yield* looping("idle", Effect.succeed(false))
        yield* looping("failing", Effect.fail("away"))
        for (let minute = 0; minute < 10; minute++) {
          yield* TestClock.adjust("1 minute")
          expect(yield* get("/livez")).toEqual({ status: 200, body: { status: "ok" } })
        }
      }),
    ),
  )

  it.effect("is green while loops rest for a minute or longer, and take their time after it", () =>
    inTest(
      Effect.gen(function* () {
        const get = yield* routes(running)
        let turns = 0
        const slow = Effect.delay(
          Effect.sync(() => ++turns < 0),
          "30 seconds",
        )
        yield* looping("each minute", slow, "1 minute")
        yield* looping("each hour", Effect.succeed(false), "1 hour")
        for (let second = 0; second < 600; second += 5) {
          yield* TestClock.adjust("5 seconds")
          expect(yield* get("/livez")).toEqual({ status: 200, body: { status: "ok" } })
        }
        expect(turns).toBe(7)
      }),
    ),
  )

  it.effect("is red, and names the loop, when one has not turned for 60 s; green when it goes on or has ended", () =>
    inTest(
      Effect.gen(function* () {
        const get = yield* routes(running)
        const stuck = yield* Deferred.make<boolean>()
        yield* looping("idle", Effect.succeed(false))
        yield* looping("stuck", Deferred.await(stuck))
        yield* TestClock.adjust("60 seconds")
        expect((yield* get("/livez")).status).toBe(200)
        yield* TestClock.adjust("1 second")
        expect(yield* get("/livez")).toMatchObject({
          status: 503,
          body: { type: "/problems/unavailable", detail: expect.stringMatching(/: stuck$/u) },
        })
        yield* Deferred.succeed(stuck, false)
        yield* TestClock.adjust("1 second")
        expect((yield* get("/livez")).status).toBe(200)
      }),
    ),
  )
})

describe("/readyz", () => {
  const check = (name: string, needed: boolean, fault?: string): Check => ({
    name,
    needed,
    fault: Effect.succeed(fault),
  })

  it.effect("is ready when nothing is wrong, degraded without what can be done without, else unavailable", () =>
    Effect.gen(function* () {
      const answerTo = (...checks: ReadonlyArray<Check>) =>
        inTest(Effect.flatMap(routes(running, checks), (get) => get("/readyz")))
      expect(yield* answerTo(check("database", true), check("events", false))).toEqual({
        status: 200,
        body: { state: "ready", checks: { database: "ok", events: "ok" } },
      })
      expect(yield* answerTo(check("database", true), check("events", false, "away"))).toEqual({
        status: 200,
        body: { state: "degraded", checks: { database: "ok", events: "away" } },
      })
      expect(yield* answerTo(check("database", true, "gone"), check("events", false, "away"))).toMatchObject({
        status: 503,
        body: {
          type: "/problems/unavailable",
          state: "unavailable",
          checks: { database: "gone", events: "away" },
        },
      })
    }),
  )

  it.effect("is a problem while the process starts and when it stops, whatever the checks say", () =>
    inTest(
      Effect.gen(function* () {
        const health: Health = { state: "starting" }
        const get = yield* routes(health, [check("database", true)])
        expect(yield* get("/readyz")).toMatchObject({ status: 503, body: { state: "starting" } })
        health.state = "stopping"
        expect(yield* get("/readyz")).toMatchObject({ status: 503, body: { state: "stopping" } })
        expect((yield* get("/livez")).status).toBe(200)
      }),
    ),
  )
})
