import { Cause, Deferred, Effect, Exit, Fiber, Latch, Schema } from "effect"
import { expect } from "vitest"
import { define } from "../../events/Event.ts"
import { type End, EventBus, type Handle, PositionMoved, type Received, type Span } from "../../events/EventBus.ts"
import { partitionOf } from "../../events/partition.ts"
import type { inbox } from "../inbox.ts"
import { bad, connectionLost, faltering, scene as inboxScene } from "./InboxSuite.ts"
import { each, heldKey, type Reaction } from "../../module/Reaction.ts"
import { Database, DatabaseUnavailable } from "../../sql/Database.ts"
import { until } from "../../test/harness/bus.ts"
import type { Check } from "../../test/harness/suite.ts"
import { makeConsumer } from "../consumer.ts"
import type { make } from "../deliveriesTable.ts"
import type { makePositions, ModulePositions } from "../positions.ts"

/** What may be wrong: the positions, the consumer's statements, and what a module learns of them. */
export interface Subject {
  readonly positions: (options: Parameters<typeof makePositions>[0]) => ReturnType<typeof makePositions>
  readonly inbox?: typeof inbox
  readonly answer?: (handle: Handle, positions: ModulePositions) => Handle
  readonly deliveries: typeof make
}

const partitions = [0, 1, 2, 3, 4]

const scene = (subject: Subject) =>
  Effect.gen(function* () {
    const base = yield* inboxScene({})
    const { sql, type, reaction, database } = base
    const bus = yield* EventBus
    yield* bus.ensure([{ name: type.type, partitions: partitions.length, retention: undefined }])
    const deliveries = yield* subject.deliveries([reaction("note")])
    /** The reactions of the last consumer. */
    let names: ReadonlyArray<string> = []
    const end = (next: number, first = 0, partition = 0): End => ({ topic: type.type, partition, first, next })

    /** A member that was given all partitions, and handles records as they come from the log. */
    const consumer = (reactions: ReadonlyArray<Reaction<never>> = [reaction("note")], on = database, first = 0) =>
      Effect.gen(function* () {
        const moved = Latch.makeUnsafe(false)
        names = reactions.map(({ name }) => name)
        const positions = yield* subject.positions({ module: "suite", reactions, moved, logKnown: Effect.void })
        const right = yield* makeConsumer({
          module: "suite",
          reactions,
          positions,
          ...(subject.inbox && { inbox: subject.inbox }),
        })
        const handle = subject.answer?.(right, positions) ?? right
        const all = partitions.map((partition) => end(1_000_000, first, partition))
        yield* positions.begin(all, Effect.succeed(all))
        return (records: ReadonlyArray<Received>) => {
          const [head, ...rest] = records
          return head === undefined ? Effect.void : handle([head, ...rest], spansOf(records))
        }
      }).pipe(Effect.provideService(Database, on))
    const handle = yield* consumer()

    const positions = Effect.map(
      Effect.suspend(
        () => sql<{ partition: number; next: bigint }>`
          select partition, min(next) as next from position
          where topic = ${type.type} and reaction in ${sql.in(names)}
          group by partition having min(next) > 0 order by partition`,
      ),
      (rows) => Object.fromEntries(rows.map(({ partition, next }) => [partition, Number(next)])),
    )
    /** Handles those records. */
    const take = (...names: ReadonlyArray<string>) => handle(base.records(...names))
    return { ...base, consumer, handle, take, deliveries, positions, end }
  })

/** What a call covers: each partition from its first record up to its last. */
const spansOf = (records: ReadonlyArray<Received>): ReadonlyArray<Span> =>
  [...Map.groupBy(records, ({ partition }) => partition).values()].map((own) => {
    const { topic, partition, offset } = own[0]!
    return { topic, partition, from: offset, next: own.at(-1)!.offset + 1 }
  })

type Scene = Effect.Success<ReturnType<typeof scene>>

const on = (play: (scene: Scene) => ReturnType<Check<Subject>["check"]>) => (subject: Subject) =>
  Effect.flatMap(scene(subject), play)

/** The same records on another partition, from offset 0. */
const onPartition = (partition: number, records: ReadonlyArray<Received>) =>
  records.map((record, offset) => ({ ...record, partition, offset }))

const positions: ReadonlyArray<Check<Subject>> = [
  {
    name: "moves the position with the inbox rows and the effects, or not at all",
    check: on(
      Effect.fnUntraced(function* ({ database, consumer, reaction, records, plan, positions, nothing, noted }) {
        const probe = Effect.fail(new DatabaseUnavailable({ reason: "away" }))
        const handle = yield* consumer([reaction("note")], { ...database, probe })
        plan.set("a3", faltering(1, connectionLost))
        expect(Exit.isFailure(yield* Effect.exit(handle(records("a1", "a2", "a3"))))).toBe(true)
        yield* nothing
        expect(yield* positions).toEqual({})
        yield* handle(records("a1", "a2", "a3"))
        expect(yield* noted()).toEqual(["a1", "a2", "a3"])
        expect(yield* positions).toEqual({ 0: 3 })
      }),
    ),
  },
  {
    name: "has a position for each partition, behind records without a value and without a meaning",
    check: on(
      Effect.fnUntraced(function* ({ handle, records, foreign, positions }) {
        const [nothing, nonsense] = [foreign(null), foreign("nonsense")]
        yield* handle([
          ...onPartition(0, [...records("a1"), nothing, nothing]),
          ...onPartition(1, [nothing, ...records("b1")]),
          ...onPartition(2, [nonsense, nonsense]),
          ...onPartition(3, [nothing]),
          ...onPartition(4, [...records("c1"), nothing]),
        ])
        expect(yield* positions).toEqual({ 0: 3, 1: 2, 2: 2, 3: 1, 4: 2 })
      }),
    ),
  },
  {
    name: "moves behind events that become dead letters, alone, in halves or in a queue",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, positions, statuses }) {
        plan.set("g1", bad).set("c1", bad).set("e1", bad)
        yield* take("g1")
        expect(yield* positions).toEqual({ 0: 1 })
        yield* take("a1", "b1", "c1", "d1", "e1", "f1", "c2")
        expect(yield* statuses()).toEqual(["g1 retrying", "c1 retrying", "e1 retrying", "c2 waiting"])
        expect(yield* positions).toEqual({ 0: 8 })
      }),
    ),
  },
  {
    name: "is done with a record only when all reactions to it are",
    check: on(
      Effect.fnUntraced(function* ({ database, consumer, reaction, records, plan, positions, noted }) {
        const probe = Effect.fail(new DatabaseUnavailable({ reason: "away" }))
        const handle = yield* consumer([reaction("one"), reaction("two")], { ...database, probe })
        // The first failure undoes both and they are taken one by one; the second comes when the one is committed.
        const runs = [bad, connectionLost]
        plan.set(
          "two a1",
          Effect.suspend(() => runs.shift() ?? Effect.void),
        )
        expect(Exit.isFailure(yield* Effect.exit(handle(records("a1"))))).toBe(true)
        expect([yield* noted("one"), yield* noted("two"), yield* positions]).toEqual([["a1"], [], {}])
        yield* handle(records("a1"))
        expect([yield* noted("two"), yield* positions]).toEqual([["a1"], { 0: 1 }])
      }),
    ),
  },
  {
    name: "has taken charge of every record before the position, wherever a batch ends",
    check: on(
      Effect.fnUntraced(function* ({ sql, database, consumer, reaction, records, plan, positions }) {
        const probe = Effect.fail(new DatabaseUnavailable({ reason: "away" }))
        const handle = yield* consumer([reaction("note")], { ...database, probe })
        const names = Array.from({ length: 900 }, (_, n) => `${"abcdefg"[n % 7]}${n}`)
        plan.set(names[850]!, faltering(1, connectionLost))
        plan.set(names[100]!, bad)
        const check = Effect.gen(function* () {
          const [row] = yield* sql<{ taken: number }>`select count(*)::int as taken from inbox`
          expect((yield* positions)[0]).toBe(row!.taken)
          return row!.taken
        })
        expect(Exit.isFailure(yield* Effect.exit(handle(records(...names))))).toBe(true)
        expect(yield* check).toBeGreaterThan(100)
        yield* handle(records(...names))
        expect(yield* check).toBe(900)
      }),
    ),
  },
  {
    name: "never moves back, whatever comes again",
    check: on(
      Effect.fnUntraced(function* ({ take, positions, handle, records, noted }) {
        yield* take("a1", "a2", "a3", "a4")
        expect(yield* positions).toEqual({ 0: 4 })
        yield* take("a1", "a2")
        yield* handle([{ ...records("a1")[0]!, value: null }])
        expect(yield* positions).toEqual({ 0: 4 })
        expect(yield* noted()).toEqual(["a1", "a2", "a3", "a4"])
      }),
    ),
  },
  {
    name: "leaves no gap: what comes before its turn changes nothing",
    check: on(
      Effect.fnUntraced(function* ({ handle, records, positions, nothing }) {
        const [, ...others] = records("a1", "a2", "a3")
        const exit = yield* Effect.exit(handle(others))
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBeInstanceOf(PositionMoved)
        yield* nothing
        expect(yield* positions).toEqual({})
      }),
    ),
  },
]

const caughtUp: ReadonlyArray<Check<Subject>> = [
  {
    name: "has caught up once every record before the end is taken charge of",
    check: on(
      Effect.fnUntraced(function* ({ take, deliveries, end }) {
        expect(yield* deliveries.caughtUp([end(0)], "a")).toBe(true)
        expect(yield* deliveries.caughtUp([end(2)], "a")).toBe(false)
        yield* take("a1")
        expect(yield* deliveries.caughtUp([end(2)], "a")).toBe(false)
        yield* take("b1")
        expect(yield* deliveries.caughtUp([end(2)], "a")).toBe(true)
        expect(yield* deliveries.caughtUp([end(2), end(1, 0, 1)], "a")).toBe(false)
        expect(yield* deliveries.caughtUp([], "a")).toBe(true)
      }),
    ),
  },
  {
    name: "waits for no record that is not kept any more",
    check: on(
      Effect.fnUntraced(function* ({ take, deliveries, end }) {
        // Of a partition that it never met, and of one whose records are gone before it came to them.
        expect(yield* deliveries.caughtUp([end(9, 9, 7)], "a")).toBe(true)
        expect(yield* deliveries.caughtUp([end(9, 8, 7)], "a")).toBe(false)
        yield* take("a1")
        expect(yield* deliveries.caughtUp([end(9, 9)], "a")).toBe(true)
        expect(yield* deliveries.caughtUp([end(9, 3)], "a")).toBe(false)
      }),
    ),
  },
  {
    name: "has not caught up with a key while a dead letter of it is open, and has with any other",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, deliveries, end }) {
        plan.set("a1", bad)
        yield* take("a1", "a2", "b1")
        const keys = Effect.all([deliveries.caughtUp([end(3)], "a"), deliveries.caughtUp([end(3)], "b")])
        for (const status of ["retrying", "parked", "waiting"]) {
          yield* sql`update held set status = ${status} where event_id = 'a1'`
          yield* sql`update held set status = 'discarded' where event_id <> 'a1'`
          expect(yield* keys).toEqual([false, true])
        }
        for (const status of ["resolved", "redriven", "discarded"]) {
          yield* sql`update held set status = ${status}`
          expect(yield* keys).toEqual([true, true])
        }
      }),
    ),
  },
  {
    name: "asks for the member of the data by which reactions are held, and for reactions to these topics alone",
    check: (subject) =>
      Effect.gen(function* () {
        const { type, consumer, foreign, end } = yield* scene(subject)
        const held = each({ name: "suite.held", event: type, heldBy: "n", handle: () => bad })
        const other = define(`other_of_${type.type}`, {
          data: Schema.Struct({ n: Schema.optionalKey(Schema.Int) }),
          key: "n",
          subject: "n",
        })
        const deliveries = yield* subject.deliveries([held, { name: "suite.other", event: other }])
        const handle = yield* consumer([held])
        yield* handle([{ ...foreign(`{"n":7}`), key: "a" }])
        expect(yield* deliveries.caughtUp([end(1)], heldKey("n", 7))).toBe(false)
        expect(yield* deliveries.caughtUp([end(1)], heldKey("n", 8))).toBe(true)
        expect(yield* deliveries.caughtUp([end(1)], "a")).toBe(true)
        const otherEnd = { ...end(0), topic: other.type }
        expect(yield* deliveries.caughtUp([otherEnd], heldKey("n", 7))).toBe(true)
      }),
  },
  {
    name: "learns from the log where the partition of a key ends, each time it is asked",
    check: (subject) =>
      Effect.gen(function* () {
        const { type, database, reaction, consumer, deliveries } = yield* scene(subject)
        const bus = yield* EventBus
        const group = `${type.type}_group`
        const unmade = define(`unmade_${type.type}`, {
          data: Schema.Struct({ n: Schema.optionalKey(Schema.Int) }),
          key: "n",
          subject: "n",
        })
        yield* bus.ensure([{ name: type.type, partitions: partitions.length, retention: undefined }])
        const free = yield* Deferred.make<void>()
        const handle = yield* consumer([reaction("note")])
        let sent = 0
        const send = (key: string) =>
          bus.send([
            {
              topic: type.type,
              key,
              value: Buffer.from(`{"n":1}`),
              headers: { ce_specversion: "1.0", ce_source: "/suite", ce_type: type.type, ce_id: String(++sent) },
            },
          ])
        const ask = (key: string) => deliveries.ends([type, unmade], key)
        const [a, b] = ["a", "b", "c", "d", "e"].filter((key, _, all) => {
          const same = all.find((one) => partitionOf(one, partitions.length) === partitionOf(key, partitions.length))
          return same === key
        })
        const before = yield* ask(a!)
        expect(before).toEqual([{ topic: type.type, partition: partitionOf(a!, partitions.length), first: 0, next: 0 }])
        expect(yield* deliveries.caughtUp(before, a!)).toBe(true)
        yield* bus.consume({
          group,
          topics: [type.type],
          handle: (records) => Effect.andThen(Deferred.await(free), handle(records)),
        })
        yield* send(a!)
        const after = yield* ask(a!)
        expect(yield* deliveries.caughtUp(after, a!)).toBe(false)
        expect(yield* deliveries.caughtUp(yield* ask(b!), b!)).toBe(true)
        yield* Deferred.succeed(free, undefined)
        yield* until("it has caught up", database.transaction(deliveries.caughtUp(after, a!)))
        const refused = yield* Effect.exit(database.transaction(ask(a!)))
        expect(Exit.hasDies(refused)).toBe(true)
      }),
  },
  {
    name: "asks the log after each caller has come, however many come at once",
    check: (subject) =>
      Effect.gen(function* () {
        const bus = yield* EventBus
        const { type } = yield* scene(subject)
        const [asked, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        let asks = 0
        let next = 0
        const ends: typeof bus.ends = (topics) =>
          Effect.gen(function* () {
            const known = next
            if (++asks === 1) {
              yield* Deferred.succeed(asked, undefined)
              yield* Deferred.await(go)
            }
            return topics.map((topic) => ({ topic, partition: 0, first: 0, next: known }))
          })
        const deliveries = yield* Effect.provideService(subject.deliveries([]), EventBus, { ...bus, ends })
        const ask = Effect.map(deliveries.ends([type], "a"), ([end]) => end!.next)
        const early = yield* Effect.forkChild(ask, { startImmediately: true })
        yield* Deferred.await(asked)
        next = 1
        const late = yield* Effect.forkChild(Effect.all([ask, ask, ask], { concurrency: 3 }), {
          startImmediately: true,
        })
        yield* Effect.yieldNow
        yield* Deferred.succeed(go, undefined)
        expect(yield* Fiber.join(early)).toBe(0)
        expect(yield* Fiber.join(late)).toEqual([1, 1, 1])
        expect(asks).toBeLessThan(4)
      }),
  },
]

/**
 * What DELIVERY.md promises of positions and of catching up: a position is behind nothing but what the module has taken charge of, and a module that
 * has caught up with a key knows all of it that was published before the moment of the question.
 */
export const deliveriesSuite: ReadonlyArray<Check<Subject>> = [...positions, ...caughtUp]
