import { Effect, Exit } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { expect } from "vitest"
import { EventBus, PositionMoved } from "../events/EventBus.ts"
import { bad, scene as inboxScene } from "./suite/InboxSuite.ts"
import { all, type Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { type Check, suiteOnEveryDatabase } from "../test/harness/suite.ts"
import { makeReplay } from "./replay.ts"
import { LogIncomplete, NoReset, ResetUnderWay } from "./reset.ts"
import { makeRetryTurn } from "./retry.ts"
import { memberOf } from "../test/delivery/member.ts"

/**
 * A module with two reactions to one topic: `note`, which writes down each event and cannot be reset, and `sum`, which
 * counts the events of each key and can. Records are on the log, in its one partition, and are handed over by hand.
 */
const scene = Effect.gen(function* () {
  const base = yield* inboxScene({})
  const { sql, type, plan, records, foreign } = base
  const database = yield* Database
  const bus = yield* EventBus
  yield* bus.ensure([{ name: type.type, partitions: 1, retention: undefined }])
  yield* sql`create table sums (key text primary key, n int)`
  const note = base.reaction("note")
  const sum = all({
    name: "suite.sum",
    event: type,
    handle: (events) =>
      Effect.forEach(
        events,
        ({ id, key }) =>
          Effect.andThen(
            Effect.orDie(sql`
              insert into sums as s (key, n) values (${key}, 1) on conflict (key) do update set n = s.n + 1`),
            plan.get(`sum ${id}`) ?? Effect.void,
          ),
        { discard: true },
      ),
    // A key at a time, so that a reset takes several steps.
    reset: Effect.map(
      Effect.orDie(sql`delete from sums where key = (select min(key) from sums) returning 1`),
      (gone) => gone.length > 0,
    ),
  })
  const reactions: ReadonlyArray<Reaction<never>> = [note, sum]

  /** A process of the module that was given the partition. */
  const member = Effect.gen(function* () {
    const own = yield* memberOf(reactions, { topic: type.type, partition: 0 })
    yield* own.begin
    const replay = yield* makeReplay({ module: "suite", reactions, positions: own.positions })
    return { ...own, replay }
  })
  const one = yield* member

  /** Puts records on the log, and has them handled. */
  const take = (...names: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const those = records(...names)
      yield* bus.send(those)
      yield* one.handle(those)
    })
  const sums = Effect.map(sql<{ key: string; n: number }>`select key, n from sums order by key`, (rows) =>
    Object.fromEntries(rows.map(({ key, n }) => [key, n])),
  )
  const position = (reaction: string) =>
    Effect.map(
      sql<{ next: bigint | null }>`select next from position where reaction = ${reaction}`,
      ([row]) => row!.next && Number(row!.next),
    )
  const ask = (reset = true, of = one.replay) => Effect.exit(of.start(sum, undefined, reset))
  return {
    ...base,
    bus,
    database,
    note,
    sum,
    reactions,
    member,
    ...one,
    take,
    foreign,
    sums,
    position,
    ask,
    reset: Effect.andThen(one.replay.start(sum, undefined, true), Effect.void),
    stateOf: one.replay.stateOf(sum),
    /** Turns until there is nothing to do. */
    work: (turn = one.replay.turn) => Effect.repeat(turn, { while: (more) => more, times: 100 }),
    /** Everything on the log comes again, from where the module is to begin. */
    again: (...names: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        expect(yield* one.begin).toBe(0)
        yield* one.handle(records(...names))
      }),
  }
})

type Scene = Effect.Success<typeof scene>

const on = (play: (scene: Scene) => Effect.Effect<void, unknown, EventBus | Database | SqlClient.SqlClient>) => () =>
  Effect.flatMap(scene, play)

const failsBy = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? exit.cause.reasons.flatMap((reason) => ("error" in reason ? [reason.error] : [])) : []

const checks: ReadonlyArray<Check<object>> = [
  {
    name: "builds again what the reaction did, once, and nothing of the others",
    check: on(
      Effect.fnUntraced(function* ({ take, sums, noted, reset, stateOf, work, again, position }) {
        yield* take("a1", "b1", "a2")
        expect(yield* sums).toEqual({ a: 2, b: 1 })
        yield* reset
        expect(yield* stateOf).toMatchObject({ state: "resetting" })
        yield* work()
        expect(yield* sums).toEqual({})
        expect(yield* stateOf).toMatchObject({ state: "reading", remaining: 3 })
        yield* again("a1", "b1", "a2")
        expect(yield* sums).toEqual({ a: 2, b: 1 })
        expect(yield* noted()).toEqual(["a1", "b1", "a2"])
        expect(yield* stateOf).toMatchObject({ state: "done", remaining: 0 })
        expect([yield* position("note"), yield* position("suite.sum")]).toEqual([3, 3])
      }),
    ),
  },
  {
    name: "removes the dead letters of that reaction, so that their events come by the log alone",
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { plan, take, sums, deadLetters, statuses, reset, work, again, reactions } = scene
        plan.set("sum a1", bad).set("note b1", bad)
        yield* take("a1", "b1", "a2")
        expect(yield* statuses("suite.sum")).toEqual(["a1 retrying", "a2 waiting"])
        plan.clear()
        yield* reset
        yield* work()
        expect(yield* deadLetters("suite.sum")).toEqual([])
        expect(yield* statuses("note")).toEqual(["b1 retrying"])
        yield* again("a1", "b1", "a2")
        expect(yield* sums).toEqual({ a: 2, b: 1 })
        const turn = yield* makeRetryTurn({ module: "suite", reactions })
        yield* Effect.repeat(turn, { while: (more) => more === true, times: 10 })
        expect(yield* sums).toEqual({ a: 2, b: 1 })
      }),
    ),
  },
  {
    name: "has its dead letters left alone while it is reset",
    check: on(
      Effect.fnUntraced(function* ({ sql, plan, take, statuses, sums, reset, reactions }) {
        plan.set("sum a1", bad)
        yield* take("a1")
        plan.clear()
        yield* reset
        yield* sql`update held set due = '1970-01-01'`
        const turn = yield* makeRetryTurn({ module: "suite", reactions })
        expect(yield* turn).toBe(false)
        expect(yield* statuses("suite.sum")).toEqual(["a1 retrying"])
        expect(yield* sums).toEqual({})
      }),
    ),
  },
  {
    name: "leaves a record that cannot be read to a later turn while a reaction to its topic is reset",
    check: on(
      Effect.fnUntraced(function* ({ sql, handle, foreign, deadLetters, reset, reactions }) {
        yield* handle([foreign(`{"n":`)])
        expect(yield* deadLetters("*")).toMatchObject([{ status: "parked" }])
        yield* sql`update held set status = 'retrying', due = '1970-01-01'`
        yield* reset
        yield* yield* makeRetryTurn({ module: "suite", reactions })
        expect(yield* deadLetters("*")).toMatchObject([{ status: "retrying", attempts: 1 }])
      }),
    ),
  },
  {
    name: "sees nothing from the request on until it is reset, in no process, while the others go on",
    check: on(
      Effect.fnUntraced(function* ({ take, member, records, bus, noted, sums, reset, begin, handle, again, work }) {
        const other = yield* member
        yield* take("a1")
        yield* reset
        const late = records("a2")
        yield* bus.send(late)
        expect(failsBy(yield* Effect.exit(other.handle(late)))).toEqual([expect.any(PositionMoved)])
        expect(yield* begin).toBe(1)
        yield* handle(late)
        expect(yield* noted()).toEqual(["a1", "a2"])
        expect(yield* sums).toEqual({ a: 1 })
        yield* work()
        yield* again("a1", "a2")
        expect(yield* sums).toEqual({ a: 2 })
        expect(yield* noted()).toEqual(["a1", "a2"])
      }),
    ),
  },
  {
    name: "is gone on with by another process, where the one that began it has ended",
    check: on(
      Effect.fnUntraced(function* ({ take, sums, reset, replay, member, work, again, stateOf }) {
        yield* take("a1", "b1")
        yield* reset
        expect(yield* replay.turn).toBe(true)
        expect(yield* stateOf).toMatchObject({ state: "resetting" })
        yield* work((yield* member).replay.turn)
        yield* again("a1", "b1")
        expect(yield* sums).toEqual({ a: 1, b: 1 })
      }),
    ),
  },
  {
    name: "clears nothing by a step that finds its reset done meanwhile, or another one",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, sums, reset, work, again, replay }) {
        yield* take("a1", "b1")
        for (const meanwhile of [sql`delete from reset`, sql`update reset set id = gen_random_uuid()`]) {
          yield* reset
          let isArmed = true
          const transformer: Statement.Transformer = (statement) => {
            const [text] = statement.compile()
            if (!isArmed || !/from reset where .* for update/su.test(text)) return Effect.succeed(statement)
            isArmed = false
            return Effect.as(Effect.orDie(meanwhile), statement)
          }
          yield* Effect.provideService(replay.turn, Statement.CurrentTransformer, transformer)
          expect(isArmed).toBe(false)
          expect(yield* sums).toEqual({ a: 1, b: 1 })
          // As if it had never been asked for, but for the position that it took away.
          yield* sql`delete from reset`
          yield* sql`update position set next = 0`
        }
        yield* reset
        yield* work()
        yield* again("a1", "b1")
        expect(yield* sums).toEqual({ a: 1, b: 1 })
      }),
    ),
  },
  {
    name: "is refused while it is reset, without a reset too, and where there is nothing to reset",
    check: on(
      Effect.fnUntraced(function* ({ take, ask, reset, replay, note, sums }) {
        yield* take("a1")
        yield* reset
        for (const again of [true, false]) {
          expect(failsBy(yield* ask(again))).toEqual([expect.any(ResetUnderWay)])
        }
        expect(failsBy(yield* Effect.exit(replay.start(note, undefined, true)))).toEqual([expect.any(NoReset)])
        expect(yield* sums).toEqual({ a: 1 })
      }),
    ),
  },
  {
    name: "is refused where the log has lost its beginning, and says since when it remembers",
    check: on(
      Effect.fnUntraced(function* ({ take, bus, sum, reactions, positions, sums, sql }) {
        yield* take("a1")
        const began = 1_767_323_045_000
        const pruned = EventBus.of({
          ...bus,
          ends: (topics) => Effect.map(bus.ends(topics), (ends) => ends.map((end) => ({ ...end, first: 7, next: 9 }))),
          since: (topic, time) => Effect.succeed([{ topic, partition: 0, next: time <= began ? 7 : 8 }]),
        })
        const replay = yield* makeReplay({ module: "suite", reactions, positions }).pipe(
          Effect.provideService(EventBus, pruned),
        )
        const [error] = failsBy(yield* Effect.exit(replay.start(sum, undefined, true)))
        expect(error).toBeInstanceOf(LogIncomplete)
        expect(Math.abs((error as LogIncomplete).since.getTime() - began)).toBeLessThanOrEqual(1_000)
        expect(yield* sql`select 1 from reset`).toEqual([])
        expect(yield* sums).toEqual({ a: 1 })
      }),
    ),
  },
  {
    name: "without a reset brings again what the reaction has not seen, and moves nothing forward",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, ask, begin, handle, records, sums, noted, position, replay, sum }) {
        yield* take("a1", "b1", "a2")
        // As when it was added after the first two.
        yield* sql`delete from inbox where reaction = 'suite.sum' and event_id in ('a1', 'b1')`
        yield* sql`delete from sums`
        yield* ask(false)
        expect(yield* position("suite.sum")).toBe(-1)
        expect(yield* begin).toBe(0)
        yield* handle(records("a1", "b1", "a2"))
        expect(yield* sums).toEqual({ a: 1, b: 1 })
        expect(yield* noted()).toEqual(["a1", "b1", "a2"])
        yield* sql`update position set next = 1 where reaction = 'suite.sum'`
        yield* replay.start(sum, Date.now() + 3_600_000, false)
        expect(yield* position("suite.sum")).toBe(1)
      }),
    ),
  },
  {
    name: "fences a batch that another process has in hand",
    check: on(
      Effect.fnUntraced(function* ({ take, ask, records, bus, handle, positions }) {
        yield* take("a1")
        const late = records("a2")
        yield* bus.send(late)
        yield* ask(false)
        expect(failsBy(yield* Effect.exit(handle(late)))).toEqual([expect.any(PositionMoved)])
        yield* positions.watch
        yield* positions.moved.await
      }),
    ),
  },
]

await suiteOnEveryDatabase("a replay", { checks, right: {}, mistakes: [] })
