import { Effect, Exit } from "effect"
import { SqlClient } from "effect/sql"
import { expect } from "vitest"
import { type End, EventBus, PositionMoved } from "../events/EventBus.ts"
import { scene as inboxScene } from "./suite/InboxSuite.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { type Check, suiteOnEveryDatabase } from "../test/harness/suite.ts"
import { memberOf } from "../test/delivery/member.ts"

/** A module whose member has one partition of a log, which has those ends that a check gives it. */
const scene = Effect.gen(function* () {
  const base = yield* inboxScene({})
  const { sql, type, reaction, records } = base
  let end: End = { topic: type.type, partition: 0, first: 0, next: 0 }
  const bus = EventBus.of({ ...(yield* EventBus), ends: () => Effect.sync(() => [end]) })
  const log = (first: number, next: number) => void (end = { ...end, first, next })

  /** A member of a release that has these reactions. */
  const member = (reactions: ReadonlyArray<Reaction<never>>) =>
    memberOf(reactions, end).pipe(
      Effect.map((own) => ({ ...own, take: (...names: ReadonlyArray<string>) => own.handle(records(...names)) })),
      Effect.provideService(EventBus, bus),
    )

  const next = (of: string) =>
    Effect.map(sql<{ next: bigint; epoch: bigint }>`select next, epoch from position where reaction = ${of}`, (rows) =>
      rows.map(({ next, epoch }) => [Number(next), Number(epoch)]),
    )
  const isMoved = ({ positions }: Effect.Success<ReturnType<typeof member>>) =>
    Effect.gen(function* () {
      yield* positions.moved.close
      yield* positions.watch
      return yield* Effect.timeoutOption(positions.moved.await, "1 millis")
    }).pipe(Effect.map(({ _tag }) => _tag === "Some"))
  const historical = (name: string): Reaction<never> => ({ ...reaction(name), hasHistory: true })
  return { ...base, member, log, next, isMoved, historical }
})

type Scene = Effect.Success<typeof scene>

const on = (play: (scene: Scene) => Effect.Effect<void, unknown, EventBus | Database | SqlClient.SqlClient>) => () =>
  Effect.flatMap(scene, play)

const isRefused = (work: Effect.Effect<void, unknown>) =>
  Effect.map(Effect.flip(work), (error) => expect(error).toBeInstanceOf(PositionMoved))

const checks: ReadonlyArray<Check<object>> = [
  {
    name: "of a module that is new are at the oldest record that is kept, and nothing is lost",
    check: on(
      Effect.fnUntraced(function* ({ member, reaction, log, next }) {
        log(5, 9)
        const { begin, positions } = yield* member([reaction("note")])
        expect(yield* begin).toBe(5)
        expect(yield* next("note")).toEqual([[5, 1]])
        expect(yield* positions.lost).toBeUndefined()
      }),
    ),
  },
  {
    name: "of a reaction that is added are where the others are; with history, at the oldest record",
    check: on(
      Effect.fnUntraced(function* ({ member, reaction, historical, log, noted, records }) {
        log(0, 3)
        const before = yield* member([reaction("note")])
        yield* before.begin
        yield* before.take("a1", "a2")
        const after = yield* member([reaction("note"), reaction("added"), historical("learn")])
        expect(yield* after.begin).toBe(0)
        yield* after.handle(records("a1", "a2", "a3"))
        expect(yield* noted("added")).toEqual(["a3"])
        expect(yield* noted("learn")).toEqual(["a1", "a2", "a3"])
        expect(yield* noted()).toEqual(["a1", "a2", "a3"])
      }),
    ),
  },
  {
    name: "of a reaction that this release does not have stay as they are",
    check: on(
      Effect.fnUntraced(function* ({ member, reaction, historical, log, next, noted, records }) {
        log(0, 3)
        const before = yield* member([reaction("note"), historical("learn")])
        yield* before.begin
        yield* before.take("a1")
        const old = yield* member([reaction("note")])
        expect(yield* old.begin).toBe(1)
        yield* old.take("a2")
        expect([yield* next("note"), yield* next("learn")]).toEqual([[[2, 1]], [[1, 1]]])
        expect(yield* before.begin).toBe(1)
        yield* before.handle(records("a2", "a3"))
        expect(yield* noted("learn")).toEqual(["a1", "a2", "a3"])
      }),
    ),
  },
  {
    name: "below the oldest record that is kept are corrected, and what is lost is said",
    check: on(
      Effect.fnUntraced(function* ({ member, reaction, log, next, type }) {
        log(0, 2)
        const { begin, take, positions } = yield* member([reaction("note")])
        yield* begin
        yield* take("a1", "a2")
        log(5, 9)
        expect(yield* begin).toBe(5)
        expect(yield* next("note")).toEqual([[5, 2]])
        expect(yield* positions.lost).toBe(`3 records of ${type.type}/0 were pruned before note had seen them`)
      }),
    ),
  },
  {
    name: "beyond the end of the log are corrected, and it is said",
    check: on(
      Effect.fnUntraced(function* ({ sql, member, reaction, log, next, type }) {
        log(0, 3)
        const { begin, positions } = yield* member([reaction("note")])
        yield* begin
        yield* sql`update position set next = 7`
        expect(yield* begin).toBe(0)
        expect(yield* next("note")).toEqual([[0, 2]])
        expect(yield* positions.lost).toBe(`the log of ${type.type}/0 ends at 3, before the position 7 of note`)
      }),
    ),
  },
  {
    name: "at the end of the log are no loss, and neither is an old end that is reported for a moment",
    check: on(
      Effect.fnUntraced(function* ({ member, reaction, log, next }) {
        log(0, 2)
        const { begin, take, positions } = yield* member([reaction("note")])
        yield* begin
        yield* take("a1", "a2")
        expect(yield* begin).toBe(2)
        log(0, 1)
        yield* Effect.forkChild(
          Effect.delay(
            Effect.sync(() => log(0, 2)),
            "500 millis",
          ),
        )
        expect(yield* begin).toBe(2)
        expect(yield* positions.lost).toBeUndefined()
        expect(yield* next("note")).toEqual([[2, 1]])
      }),
    ),
  },
  {
    name: "that a replay has moved refuse what a member has in hand, and what it had before them is known",
    check: on(
      Effect.fnUntraced(function* ({ sql, member, reaction, log, leaves, records }) {
        log(0, 4)
        const { begin, take, handle } = yield* member([reaction("note")])
        yield* begin
        yield* take("a1", "a2")
        // As a replay from the start and a member that was quicker do.
        yield* sql`update position set epoch = epoch + 1`
        yield* isRefused(take("a3"))
        yield* leaves({ noted: ["a1", "a2"] })
        expect(yield* begin).toBe(2)
        yield* handle(records("a3"))
        yield* leaves({ noted: ["a1", "a2", "a3"] })
      }),
    ),
  },
  {
    name: "of a database that went back refuse what a member has in hand, whatever their epoch",
    check: on(
      Effect.fnUntraced(function* ({ sql, member, reaction, log, leaves }) {
        log(0, 4)
        const { begin, take } = yield* member([reaction("note")])
        yield* begin
        yield* take("a1", "a2")
        yield* sql`update position set next = 1`
        yield* isRefused(take("a3"))
        yield* leaves({ noted: ["a1", "a2"] })
        expect(yield* begin).toBe(1)
      }),
    ),
  },
  {
    name: "are looked at also while nothing arrives: what moved them back is noticed, and no other member's work",
    check: on(
      Effect.fnUntraced(function* ({ sql, member, reaction, log, isMoved }) {
        log(0, 9)
        const one = yield* member([reaction("note")])
        yield* one.begin
        yield* one.take("a1", "a2")
        expect(yield* isMoved(one)).toBe(false)
        // As a dump between the two has it: what this member itself has done since is less.
        yield* sql`update position set next = 1`
        expect(yield* isMoved(one)).toBe(true)
        yield* sql`update position set next = 2`
        expect(yield* isMoved(one)).toBe(false)
        const changes = [
          ["next = 7", false],
          ["next = 1", true],
          ["next = 2, epoch = epoch + 1", true],
          ["next = null", true],
        ] as const
        for (const [change, moved] of changes) {
          yield* one.begin
          yield* sql`update position set ${sql.literal(change)}`
          expect([change, yield* isMoved(one)]).toEqual([change, moved])
          yield* sql`update position set next = 2`
        }
      }),
    ),
  },
  {
    name: "pass over what holds no record for the module",
    check: on(
      Effect.fnUntraced(function* ({ member, reaction, log, next, type }) {
        log(0, 9)
        const { begin, positions } = yield* member([reaction("note")])
        yield* begin
        yield* positions.pass([{ topic: type.type, partition: 0, from: 0, next: 4 }])
        expect(yield* next("note")).toEqual([[4, 1]])
        expect(Exit.isSuccess(yield* Effect.exit(begin))).toBe(true)
      }),
    ),
  },
]

await suiteOnEveryDatabase("positions", { checks, right: {}, mistakes: [] })
