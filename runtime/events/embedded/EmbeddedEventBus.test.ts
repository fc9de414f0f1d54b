import { expect, layer } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"
import { newGroup, newTopic, numbered, offsetOf, send, textsOf, until } from "../../test/harness/bus.ts"
import { postgres } from "../../test/harness/memory.ts"
import { EventBus, type Handle, type Received } from "../EventBus.ts"
import { eventBusSuite } from "../suite/EventBusSuite.ts"
import { onEmbedded } from "../suite/onEmbedded.ts"
import * as EmbeddedEventBus from "./EmbeddedEventBus.ts"
import { logTable } from "./logTable.ts"

eventBusSuite({ name: "embedded", log: onEmbedded })

/** Runs on a log of its own over the shared database, as a process does that starts, works and ends. */
const process = <A, E, R>(work: (prune: Effect.Effect<void, unknown>) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { bus, prune } = yield* EmbeddedEventBus.make
    return yield* Effect.provideService(work(prune), EventBus, bus)
  }).pipe(Effect.scoped)

type Group = ReturnType<typeof newGroup>

/** Joins, handles what there is and leaves; what came. Time stands still in these tests, so waiting is on the wall's. */
const read = (group: Group) =>
  Effect.gen(function* () {
    const { mine } = yield* group.join()
    yield* TestClock.withLive(group.settled)
    return mine.flat()
  }).pipe(Effect.scoped)

const seen = (fact: string, look: () => boolean) => TestClock.withLive(until(fact, Effect.sync(look)))

const inDatabase = Layer.merge(postgres(), Layer.sync(Loops, makeLoops))

layer(inDatabase)("EmbeddedEventBus", (it) => {
  it.effect("keeps topics, records and positions when it is closed and opened again", () =>
    Effect.gen(function* () {
      const { topic, group } = yield* process(() =>
        Effect.gen(function* () {
          const topic = yield* newTopic(3)
          const group = newGroup(topic)
          yield* send(numbered(topic, 0, 20))
          yield* read(group)
          yield* send(numbered(topic, 20, 40))
          return { topic, group }
        }),
      )
      yield* process(() =>
        Effect.gen(function* () {
          yield* send(numbered(topic, 40, 60))
          expect(textsOf(yield* read(group))).toEqual(textsOf(numbered(topic, 20, 60)))
          expect(textsOf(yield* read(newGroup(topic)))).toEqual(textsOf(numbered(topic, 0, 60)))
        }),
      )
    }),
  )

  it.effect("brings again what a process had in hand when it was killed", () =>
    process(() =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1)
        const group = newGroup(topic)
        const free = yield* Deferred.make<void>()
        yield* send(numbered(topic, 0, 5))
        yield* group.join(() => Deferred.await(free))
        yield* seen("the first process is busy", () => group.calls.length > 0)
        const received: Array<Received> = []
        const handle: Handle = (records) => Effect.sync(() => received.push(...records))
        yield* process(() =>
          Effect.gen(function* () {
            const bus = yield* EventBus
            yield* bus.consume({ group: group.name, topics: [topic], handle })
            yield* seen("the second process has them", () => received.length >= 5)
          }),
        )
        yield* Deferred.succeed(free, undefined)
        expect(received.map(offsetOf)).toEqual([0, 1, 2, 3, 4])
      }),
    ),
  )

  it.effect("keeps records until their time has passed", () =>
    process((prune) =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1, Duration.hours(1))
        yield* send(numbered(topic, 0, 5))
        yield* TestClock.adjust("59 minutes")
        yield* prune
        expect(textsOf(yield* read(newGroup(topic)))).toEqual(textsOf(numbered(topic, 0, 5)))
      }),
    ),
  )

  it.effect("forgets records whose time has passed, and starts a new group at the oldest one left", () =>
    process((prune) =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1, Duration.hours(1))
        yield* send(numbered(topic, 0, 5))
        yield* TestClock.adjust("40 minutes")
        yield* send(numbered(topic, 5, 10))
        yield* TestClock.adjust("40 minutes")
        yield* prune
        const left = yield* read(newGroup(topic))
        expect(left.map(offsetOf)).toEqual([5, 6, 7, 8, 9])
        expect(textsOf(left)).toEqual(textsOf(numbered(topic, 5, 10)))
      }),
    ),
  )

  it.effect("goes on counting offsets where all records are forgotten", () =>
    process((prune) =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1, Duration.hours(1))
        yield* send(numbered(topic, 0, 5))
        yield* TestClock.adjust("2 hours")
        yield* prune
        const group = newGroup(topic)
        expect(yield* read(group)).toEqual([])
        yield* send(numbered(topic, 5, 7))
        expect((yield* read(group)).map(offsetOf)).toEqual([5, 6])
      }),
    ),
  )

  it.effect("never forgets what a known group has still to handle", () =>
    process((prune) =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1, Duration.hours(1))
        const [fast, slow] = [newGroup(topic), newGroup(topic)]
        yield* send(numbered(topic, 0, 3))
        yield* read(slow)
        yield* send(numbered(topic, 3, 6))
        yield* read(fast)
        yield* TestClock.adjust("2 hours")
        yield* prune
        expect((yield* read(newGroup(topic))).map(offsetOf)).toEqual([3, 4, 5])
        expect((yield* read(slow)).map(offsetOf)).toEqual([3, 4, 5])
      }),
    ),
  )

  it.effect("never forgets a topic that is kept for ever", () =>
    process((prune) =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1, undefined)
        yield* send(numbered(topic, 0, 5))
        yield* read(newGroup(topic))
        yield* TestClock.adjust("1 day")
        yield* prune
        expect(textsOf(yield* read(newGroup(topic)))).toEqual(textsOf(numbered(topic, 0, 5)))
      }),
    ),
  )

  it.effect("forgets in steps, of one partition each, and never past a record that is kept", () =>
    process(() =>
      Effect.gen(function* () {
        const sql = yield* (yield* EmbeddedPostgres).client("events")
        const table = logTable(sql)
        const topic = yield* newTopic(2, Duration.hours(1))
        yield* send(numbered(topic, 0, 40))
        const young = new Date((yield* Clock.currentTimeMillis) + Duration.toMillis("2 hours"))
        const count = Effect.map(sql`select 1 from record where topic = ${topic}`, (rows) => rows.length)
        const step = (limit: number) => table.prune(young, limit)
        yield* sql`update record set time = ${young} where topic = ${topic} and "offset" = 3`
        expect(yield* step(2)).toHaveLength(1)
        expect(yield* count).toBe(38)
        while ((yield* step(2)).length > 0);
        const bus = yield* EventBus
        expect((yield* bus.ends([topic])).map(({ first }) => first)).toEqual([3, 3])
        expect(yield* count).toBe(34)
      }),
    ),
  )

  it.effect("forgets by itself", () =>
    process(() =>
      Effect.gen(function* () {
        const postgres = yield* EmbeddedPostgres
        const sql = yield* postgres.client("events")
        const topic = yield* newTopic(1, Duration.hours(1))
        const count = sql`select 1 from record where topic = ${topic}`.pipe(Effect.map((rows) => rows.length))
        yield* send(numbered(topic, 0, 5))
        expect(yield* count).toBe(5)
        yield* TestClock.adjust("2 hours")
        yield* TestClock.withLive(
          until(
            "nothing is left",
            Effect.map(count, (left) => left === 0),
          ),
        )
      }),
    ),
  )

  it.effect("leaves the retention as it is when it refuses another number of partitions", () =>
    process((prune) =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const topic = yield* newTopic(1, Duration.hours(1))
        const refused = yield* Effect.exit(bus.ensure([{ name: topic, partitions: 2, retention: Duration.millis(1) }]))
        expect(Exit.isFailure(refused)).toBe(true)
        yield* send(numbered(topic, 0, 5))
        yield* TestClock.adjust("1 minute")
        yield* prune
        expect(textsOf(yield* read(newGroup(topic)))).toEqual(textsOf(numbered(topic, 0, 5)))
      }),
    ),
  )

  it.effect("hands a partition over the moment that its member is free, not at the next poll", () =>
    process(() =>
      Effect.gen(function* () {
        const topic = yield* newTopic(2)
        const group = newGroup(topic)
        const free = yield* Deferred.make<void>()
        yield* send(numbered(topic, 0, 20))
        yield* group.join(() => Deferred.await(free))
        yield* seen("the first member is busy", () => group.calls.length > 0)
        const second = yield* group.join()
        yield* Deferred.succeed(free, undefined)
        yield* TestClock.withLive(group.settled)
        expect(second.mine.length).toBeGreaterThan(0)
      }),
    ),
  )

  it.effect("leaves at once when it only waits to try again", () =>
    process(() =>
      Effect.gen(function* () {
        const topic = yield* newTopic(1)
        const group = newGroup(topic)
        yield* send(numbered(topic, 0, 5))
        const member = yield* group.join(() => Effect.fail("refused"))
        yield* seen("the handle has failed", () => group.calls.length > 0)
        const leaving = yield* Effect.forkChild(member.leave)
        yield* seen("the member has left", () => leaving.pollUnsafe() !== undefined)
      }),
    ),
  )
})
