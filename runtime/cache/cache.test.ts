import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Redacted, Schema } from "effect"
import { CircuitBreaker, Persistable, Persistence } from "effect/persistence"
import { freePort } from "../test/harness/freePort.ts"
import { ownRedis } from "../test/harness/redisServer.ts"
import { eventually } from "../test/harness/scenario.ts"
import { cache } from "../drivers.ts"
import { faultInUrl, nameOf } from "./redis/address.ts"

class Answer extends Persistable.Class<{ payload: { id: string } }>()("Answer", {
  primaryKey: ({ id }) => id,
  success: Schema.Int,
}) {}

let last = 0
const aKey = () => new Answer({ id: String(++last) })

const kept = 60_000

/** One process with the cache at this URL. `lines` are what it logged, debug left out. */
const aProcess = (url: string | undefined) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))
    const context = yield* Layer.build(
      Layer.provide(cache(url === undefined ? undefined : Redacted.make(url)), Logger.layer([logger])),
    )
    const store = yield* Context.get(context, Persistence.Persistence).make({
      storeId: "test",
      timeToLive: () => kept,
    })
    const breaker = yield* CircuitBreaker.make({
      tripPolicy: CircuitBreaker.consecutive(2),
      openDuration: "20 seconds",
    }).pipe(Effect.provideContext(context))
    return { store, breaker, lines }
  })

/** How long it took, in milliseconds, and how it ended. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const began = performance.now()
    const exit = yield* Effect.exit(effect)
    return { exit, millis: performance.now() - began }
  })

const failTwice = (breaker: CircuitBreaker.CircuitBreaker, key: string) =>
  Effect.repeat(Effect.ignore(breaker.execute(Effect.fail("down"), { key })), { times: 1 })

const tagOf = (breaker: CircuitBreaker.CircuitBreaker, key: string) =>
  Effect.map(breaker.state(key), ({ _tag }) => _tag)

/** Of many waits: what a busy machine adds to some of them does not count. */
const median = (waits: ReadonlyArray<number>) => waits.toSorted((a, b) => a - b)[waits.length >> 1]!

/** How long these took, each. */
const waitsOf = <E, R>(times: number, run: Effect.Effect<unknown, E, R>) =>
  Effect.map(
    Effect.forEach(Array.from({ length: times }), () => timed(run)),
    (all) => all.map(({ millis }) => millis),
  )

/** Without waiting for anything. */
const atOnce = 25

/** Used and away by turns: one line for each change. */
const isStory = (lines: ReadonlyArray<string>, ...least: ReadonlyArray<RegExp>) => {
  const kinds = lines.map((line) => (line.startsWith("Warn") ? "away" : "used"))
  expect(kinds).toEqual(kinds.map((_, n) => (n % 2 === 0 ? "used" : "away")))
  for (const line of least) expect(lines).toContainEqual(expect.stringMatching(line))
}

/** A wait that is given up, at most: 50 ms, and what a busy machine adds. */
const inTime = 2_000

describe("the URL of a Redis", () => {
  it.each([
    "redis://localhost:6379",
    "rediss://user:secret@cache.example.org:6380/3",
    "redis://[::1]",
    "redis://cache/",
  ])("may be %s", (url) => expect(faultInUrl(url)).toBeUndefined())

  it.each([
    "localhost:6379",
    "http://localhost",
    "redis:",
    "redis://",
    "redis://h/db",
    "redis://h/0/1",
    "redis://h?db=1",
    "redis://h#1",
  ])("is not %s", (url) => expect(faultInUrl(url)).toMatch(/^(?:expected a|the path of a|a) URL/u))

  it("is shown without its secrets", () => expect(nameOf("redis://user:secret@cache:6380/3")).toBe("cache:6380"))
})

describe("the cache in memory", () => {
  it.live("belongs to its process", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* aProcess(undefined), yield* aProcess(undefined)]
      const key = aKey()
      yield* one.store.set(key, Exit.succeed(1))
      expect(yield* one.store.get(key)).toEqual(Exit.succeed(1))
      expect(yield* other.store.get(key)).toBeUndefined()
    }),
  )
})

describe("the cache with a Redis that is unavailable from the start", () => {
  it.live("is available at once, answers at once that nothing is cached, and logs one line", () =>
    Effect.gen(function* () {
      const url = `redis://127.0.0.1:${yield* Effect.promise(freePort)}`
      const starts = yield* waitsOf(5, aProcess(url))
      expect(median(starts)).toBeLessThan(100)
      const { store, breaker, lines } = yield* aProcess(url)
      const answer = Effect.flip(store.get(aKey()))
      const waits = yield* waitsOf(20, Effect.andThen(answer, store.set(aKey(), Exit.succeed(1))))
      expect(median(waits)).toBeLessThan(atOnce)
      yield* failTwice(breaker, "provider")
      expect(yield* tagOf(breaker, "provider")).toBe("Open")
      yield* Effect.sleep("1500 millis")
      expect(lines).toEqual([
        expect.stringMatching(/^Warn: Redis at 127\.0\.0\.1:\d+ is unavailable \(ECONNREFUSED\)/u),
      ])
    }),
  )
})

const server = await ownRedis()

describe.skipIf(server === undefined)("the cache in Redis", () => {
  const redis = server!

  it.live("is shared by all processes until an answer expires", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* aProcess(redis.url), yield* aProcess(redis.url)]
      const key = aKey()
      yield* eventually(
        one.store.set(key, Exit.succeed(7)).pipe(
          Effect.andThen(other.store.get(key)),
          Effect.map((exit) => expect(exit).toEqual(Exit.succeed(7))),
        ),
      )
      yield* eventually(
        Effect.map(Effect.andThen(one.store.remove(key), other.store.get(key)), (exit) => expect(exit).toBeUndefined()),
      )
      isStory(one.lines, /^Info: Redis at 127\.0\.0\.1:\d+ is connected$/u)
    }),
  )

  it.live("shares the states of circuits", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* aProcess(redis.url), yield* aProcess(redis.url)]
      yield* eventually(Effect.map(one.store.get(aKey()), (exit) => expect(exit).toBeUndefined()))
      yield* eventually(Effect.map(other.store.get(aKey()), (exit) => expect(exit).toBeUndefined()))
      // On a busy machine an answer may take longer than 50 ms, and a process then has a circuit of its own.
      yield* eventually(
        Effect.gen(function* () {
          const key = `shared ${++last}`
          yield* failTwice(one.breaker, key)
          expect(yield* tagOf(other.breaker, key)).toBe("Open")
          const refused = yield* Effect.flip(other.breaker.execute(Effect.void, { key }))
          expect(refused).toMatchObject({ reason: { _tag: "CircuitOpen" } })
        }),
      )
    }),
  )

  it.live("delays a request at most briefly while Redis is frozen, and is used again afterwards", () =>
    Effect.gen(function* () {
      const { store, breaker, lines } = yield* aProcess(redis.url)
      const key = aKey()
      yield* eventually(Effect.map(store.get(key), (exit) => expect(exit).toBeUndefined()))
      yield* eventually(
        store.set(key, Exit.succeed(1)).pipe(
          Effect.andThen(store.get(key)),
          Effect.map((exit) => expect(exit).toEqual(Exit.succeed(1))),
        ),
      )

      redis.freeze()
      const waits = yield* waitsOf(50, Effect.flip(store.get(key)))
      expect(Math.max(...waits)).toBeLessThan(inTime)
      // The circuit is open: most cost nothing.
      expect(median(waits)).toBeLessThan(atOnce)
      expect(median(yield* waitsOf(5, store.set(key, Exit.succeed(2))))).toBeLessThan(atOnce)
      yield* failTwice(breaker, "frozen")
      expect(yield* tagOf(breaker, "frozen")).toBe("Open")

      redis.thaw()
      yield* eventually(Effect.map(store.get(key), (exit) => expect(exit).toBeDefined()))
      isStory(lines, /^Info: .* is connected$/u, /^Warn: .* is unavailable \(no answer within 50 ms\)/u)
      expect(lines.length).toBeGreaterThanOrEqual(3)
    }),
  )

  it.live("reconnects after Redis was killed, however long it was unavailable", () =>
    Effect.gen(function* () {
      const { store, lines } = yield* aProcess(redis.url)
      const key = aKey()
      yield* eventually(Effect.map(store.get(key), (exit) => expect(exit).toBeUndefined()))
      yield* Effect.promise(redis.crash)
      yield* eventually(Effect.flip(store.get(key)))
      expect(median(yield* waitsOf(20, Effect.flip(store.get(key))))).toBeLessThan(atOnce)
      yield* Effect.sleep("1 second")
      yield* Effect.promise(redis.resume)
      yield* eventually(Effect.map(store.get(key), (exit) => expect(exit).toBeUndefined()))
      isStory(lines, /^Info: .* is connected$/u, /^Warn: .* is unavailable/u)
      expect(lines.length).toBeGreaterThanOrEqual(3)
    }),
  )
})

const locked = await ownRedis(["--requirepass", "sesame"])

describe.skipIf(locked === undefined)("the cache in a Redis with a password", () => {
  const at = (password: string) => locked!.url.replace("//", `//:${password}@`)

  it.live("connects with the right one", () =>
    Effect.gen(function* () {
      const { store } = yield* aProcess(at("sesame"))
      yield* eventually(Effect.map(store.get(aKey()), (exit) => expect(exit).toBeUndefined()))
    }),
  )

  it.live("is unavailable with a wrong one, which the log does not show", () =>
    Effect.gen(function* () {
      const { store, lines } = yield* aProcess(at("abracadabra"))
      yield* eventually(Effect.sync(() => expect(lines).toHaveLength(1)))
      expect((yield* Effect.exit(store.get(aKey())))._tag).toBe("Failure")
      expect(lines[0]).toMatch(/is unavailable/u)
      expect(lines[0]).not.toMatch(/abracadabra/u)
    }),
  )
})
