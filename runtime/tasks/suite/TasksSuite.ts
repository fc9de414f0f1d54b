import {
  Cause,
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Latch,
  Logger,
  Option,
  References,
  Schedule,
} from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { expect } from "vitest"
import {
  again,
  againAfter,
  done,
  type Ended,
  type Item,
  type Next,
  NotMade,
  type Task,
  task,
} from "../../module/Task.ts"
import { Database, DatabaseUnavailable } from "../../sql/Database.ts"
import { placeIn, placeOf, traced } from "../../telemetry/trace.ts"
import type { Check } from "../../test/harness/suite.ts"
import type { Called, Finished, makeSteps, Steps } from "../steps.ts"
import type { tasksIn } from "../taskTable.ts"

/** What may be wrong: how rows are added, and the steps of the worker. */
export interface Subject {
  readonly tasks: typeof tasksIn
  readonly steps: typeof makeSteps
}

/** A mark is too old after this, in milliseconds. */
const tooOld = 2_000 + 10_000 + 1

/** The same, by a clock that is ahead. */
export const later =
  (millis: number) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.Clock, (clock) =>
      Effect.provideService(
        work,
        Clock.Clock,
        Object.assign(Object.create(clock) as Clock.Clock, {
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + millis,
          currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
        }),
      ),
    )

/** A row as an operator sees it; `dueIn` is how long it waits yet, in whole seconds. */
interface Row {
  readonly id: string
  readonly attempts: number
  readonly isCalled: boolean
  readonly isUnknown: boolean
  readonly reason: string | null
  readonly error: string | null
}

/**
 * A module with a task whose parts note what they see. `plan` says what else they do about an id: what `begin` answers,
 * how the call goes, and what `end` answers.
 */
const scene = (subject: Subject) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    yield* sql`create table deed (pos bigint generated always as identity, id text not null)`
    const begun: Array<ReadonlyArray<Item>> = []
    const outside: Array<string> = []
    const ended: Array<Ended<unknown, unknown>> = []
    const plan = {
      begin: new Map<string, Effect.Effect<unknown>>(),
      call: new Map<string, Effect.Effect<unknown, unknown>>(),
      end: new Map<string, Effect.Effect<Next>>(),
      retry: Schedule.spaced("10 seconds") as Schedule.Schedule<unknown>,
    }
    const charge: Task<never> = {
      ...task({
        name: "suite.charge",
        deadlineMillis: 2_000,
        begin: (items) => {
          begun.push(items)
          return Effect.forEach(items, ({ id }) => plan.begin.get(id) ?? Effect.succeed(`call ${id}`))
        },
        call: (call, id) => {
          outside.push(id)
          return plan.call.get(id) ?? Effect.succeed(`answer to ${String(call)}`)
        },
        end: (results: ReadonlyArray<Ended<unknown, unknown>>) =>
          Effect.gen(function* () {
            for (const { id } of results) yield* Effect.orDie(sql`insert into deed (id) values (${id})`)
            const nexts = yield* Effect.forEach(results, ({ id }) => plan.end.get(id) ?? Effect.succeed(done))
            ended.push(...results)
            return nexts
          }),
      }),
      get retry() {
        return plan.retry
      },
    }
    const latch = Latch.makeUnsafe(false)
    const tasks = subject.tasks(sql, [charge.name], Effect.asVoid(latch.open))
    /** Steps of one more instance. */
    const instance = (on: Partial<Database["Service"]> = {}) =>
      Effect.provideService(subject.steps(), Database, { ...database, ...on })
    const steps = yield* instance()

    const add = (...ids: ReadonlyArray<string>) =>
      tasks.add(
        charge.name,
        ids.map((id) => ({ id })),
      )
    const claim = (limit = 10, by = steps) => Effect.map(by.claim(charge, limit), ({ called }) => called)
    const makeAll = (called: ReadonlyArray<Called>, by = steps) =>
      Effect.forEach(called, (one) => Effect.map(by.make(charge, one), (result): Finished => ({ ...one, result })))
    const finish = (finished: ReadonlyArray<Finished>, by = steps) => by.finish(charge, finished)
    /** All three steps for what is due. */
    const turn = Effect.fnUntraced(function* (by: Steps = steps) {
      const finished = yield* makeAll(yield* claim(10, by), by)
      if (finished.length > 0) yield* finish(finished, by)
      return finished
    })
    const rows = sql<Row>`
      select id, attempts, holder is not null as "isCalled", is_unknown as "isUnknown", reason, error from task order by id`
    const ids = Effect.map(rows, (all) => all.map(({ id }) => id))
    const row = (id: string) => Effect.map(rows, (all) => all.find((one) => one.id === id))
    /** How long a row waits yet, in milliseconds. */
    const waits = (id: string) =>
      Effect.gen(function* () {
        const [found] = yield* sql<{ due: Date }>`select due from task where id = ${id}`
        return found!.due.getTime() - (yield* Clock.currentTimeMillis)
      })
    const deeds = Effect.map(sql<{ id: string }>`select id from deed order by pos`, (all) => all.map(({ id }) => id))

    return {
      sql,
      database,
      charge,
      plan,
      begun,
      outside,
      ended,
      latch,
      tasks,
      steps,
      instance,
      add,
      claim,
      makeAll,
      finish,
      turn,
      ids,
      row,
      waits,
      deeds,
    }
  })

type Scene = Effect.Success<ReturnType<typeof scene>>

const on =
  (play: (scene: Scene) => Effect.Effect<void, unknown, Database | SqlClient.SqlClient>) => (subject: Subject) =>
    Effect.flatMap(scene(subject), play)

const broken = Effect.die(new Error("it cannot be done"))
const sqlFailure = (reason: SqlError.SqlErrorReason) => Effect.die(new SqlError.SqlError({ reason }))
const connectionLost = sqlFailure(new SqlError.ConnectionError({ cause: new Error("gone"), message: "gone" }))
const lockNotGot = sqlFailure(new SqlError.LockTimeoutError({ cause: new Error("locked"), message: "locked" }))
const away = Effect.fail(new DatabaseUnavailable({ reason: "away" }))

/** Waits at most that long: the claim must be about now, whatever the machine does meanwhile. */
const about = (millis: number, seconds: number) => {
  expect(millis).toBeGreaterThan(seconds * 1_000 - 5_000)
  expect(millis).toBeLessThanOrEqual(seconds * 1_000)
}

const adding: ReadonlyArray<Check<Subject>> = [
  {
    name: "runs a task of a committed transaction once, and none of a transaction that was rolled back",
    check: on(
      Effect.fnUntraced(function* ({ database, add, turn, outside, ids, deeds }) {
        for (const end of [Effect.fail("no"), Effect.die(new Error("broken")), Effect.interrupt]) {
          yield* Effect.exit(database.transaction(Effect.andThen(add("x"), end)))
        }
        yield* turn()
        expect(outside).toEqual([])
        yield* database.transaction(add("a", "b"))
        yield* turn()
        yield* later(1_000_000)(turn())
        expect(outside).toEqual(["a", "b"])
        expect(yield* ids).toEqual([])
        expect(yield* deeds).toEqual(["a", "b"])
      }),
    ),
  },
  {
    name: "wakes the worker once the transaction has committed, and not when it is rolled back",
    check: on(
      Effect.fnUntraced(function* ({ database, add, latch }) {
        const added = Effect.gen(function* () {
          yield* add("a")
          expect(Latch.isOpen(latch)).toBe(false)
        })
        yield* Effect.exit(database.transaction(Effect.andThen(added, Effect.fail("no"))))
        expect(Latch.isOpen(latch)).toBe(false)
        yield* database.transaction(added)
        expect(Latch.isOpen(latch)).toBe(true)
      }),
    ),
  },
  {
    name: "leaves a row unchanged when its id is added again, also while it is called",
    check: on(
      Effect.fnUntraced(function* ({ tasks, charge, add, claim, turn, makeAll, finish, ids, outside }) {
        const due = new Date((yield* Clock.currentTimeMillis) + 60_000)
        yield* tasks.add(charge.name, [{ id: "a", due }])
        yield* add("a", "b", "b")
        const called = yield* claim()
        expect(called.map(({ id }) => id)).toEqual(["b"])
        yield* add("b")
        yield* finish(yield* makeAll(called))
        expect(yield* ids).toEqual(["a"])
        yield* add("b")
        yield* turn()
        expect(outside).toEqual(["b", "b"])
      }),
    ),
  },
  {
    name: "continues the trace in which a row was added; several traces together begin a new one",
    check: on(
      Effect.fnUntraced(function* ({ add, plan, turn, claim }) {
        const traces = { a: "a".repeat(32), b: "b".repeat(32) }
        for (const [id, trace] of Object.entries(traces)) {
          const causes = [placeOf(`00-${trace}-00f067aa0ba902b7-01`)!]
          yield* traced({ name: "decide", kind: "internal", causes, attributes: {} }, () => add(id))
        }
        const seen: Array<string | undefined> = []
        const note = <A>(answer: A) =>
          Effect.map(Effect.context(), (context) => {
            seen.push(placeIn(context)?.traceId)
            return answer
          })
        plan.begin.set("a", note("call a"))
        plan.call.set("a", note("answer"))
        plan.end.set("a", note(again))
        const [a] = yield* claim(1)
        expect(seen.splice(0)).toEqual([traces.a])
        yield* later(tooOld)(turn())
        const [begin, call, end] = seen
        expect([a?.id, call]).toEqual(["a", traces.a])
        for (const together of [begin, end]) {
          expect(together).toMatch(/^[0-9a-f]{32}$/u)
          expect(Object.values(traces)).not.toContain(together)
        }
      }),
    ),
  },
  {
    name: "begins with the row that was due first, and with none that is not due",
    check: on(
      Effect.fnUntraced(function* ({ tasks, charge, steps, claim, turn, outside }) {
        const now = yield* Clock.currentTimeMillis
        const at = (id: number, millis: number) => ({ id, due: new Date(now + millis) })
        yield* tasks.add(charge.name, [at(1, -1_000), at(2, 20_000), at(3, -3_000), at(4, 10_000), at(5, -2_000)])
        expect((yield* claim(1)).map(({ id }) => id)).toEqual(["3"])
        yield* turn()
        expect(outside).toEqual(["5", "1"])
        expect(yield* steps.namesDue([charge.name])).toEqual(new Set())
        expect(yield* later(10_001)(steps.namesDue([charge.name, "suite.other"]))).toEqual(new Set([charge.name]))
        yield* later(10_001)(turn())
        expect(outside).toEqual(["5", "1", "4"])
      }),
    ),
  },
  {
    name: "refuses a task that the module does not declare",
    check: on(
      Effect.fnUntraced(function* ({ tasks, turn, ids }) {
        for (const refused of [tasks.add("suite.other", [{ id: 1 }]), tasks.remove("suite.other", [1])]) {
          expect(Exit.hasDies(yield* Effect.exit(refused))).toBe(true)
        }
        yield* turn()
        expect(yield* ids).toEqual([])
      }),
    ),
  },
  {
    name: "removes rows that wait, and none that is called or whose call is unknown",
    check: on(
      Effect.fnUntraced(function* ({ tasks, charge, plan, add, claim, turn, ids, begun }) {
        plan.call.set("unknown", Effect.fail("lost"))
        plan.end.set("unknown", Effect.succeed(again))
        yield* add("unknown")
        yield* turn()
        yield* add("called")
        yield* claim()
        yield* add("waiting", "other")
        yield* tasks.remove(charge.name, ["unknown", "called", "waiting", "never"])
        expect(yield* ids).toEqual(["called", "other", "unknown"])
        yield* later(tooOld)(claim())
        expect(begun.at(-1)!.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
          { id: "called", isUnknown: true },
          { id: "other", isUnknown: false },
          { id: "unknown", isUnknown: true },
        ])
      }),
    ),
  },
  {
    name: "does not touch the rows of a task that this release does not have",
    check: on(
      Effect.fnUntraced(function* ({ sql, charge, add, steps, turn, row, outside }) {
        yield* sql`insert into task (name, id, due, created_at) values ('suite.newer', 'n', '2020-01-01', '2020-01-01')`
        yield* add("a")
        expect(yield* steps.namesDue([charge.name])).toEqual(new Set([charge.name]))
        yield* turn()
        expect(outside).toEqual(["a"])
        expect(yield* row("n")).toMatchObject({ attempts: 0, isCalled: false, isUnknown: false })
      }),
    ),
  },
]

const calling: ReadonlyArray<Check<Subject>> = [
  {
    name: "calls outside of any transaction, after the mark was committed",
    check: on(
      Effect.fnUntraced(function* ({ sql, plan, add, turn, row }) {
        const seen: Array<unknown> = []
        const current = row("a")
        const look = Effect.gen(function* () {
          const running = yield* Effect.serviceOption(sql.transactionService)
          const alone: typeof current = Effect.updateContext(current, Context.omit(sql.transactionService))
          seen.push(Option.isSome(running) ? "in a transaction" : yield* alone)
        })
        plan.call.set("a", look)
        yield* add("a")
        yield* turn()
        expect(seen).toEqual([expect.objectContaining({ isCalled: true, attempts: 1 })])
      }),
    ),
  },
  {
    name: "gives each id its own call, and each call its own result, in one order",
    check: on(
      Effect.fnUntraced(function* ({ add, turn, begun, ended, deeds }) {
        const ids = ["a", "b", "c", "d", "e"]
        yield* add(...ids)
        yield* turn()
        expect(begun).toEqual([ids.map((id) => ({ id, isUnknown: false }))])
        expect(ended).toEqual(
          ids.map((id) => ({
            id,
            call: `call ${id}`,
            result: { _tag: "Answered", answer: `answer to call ${id}` },
          })),
        )
        expect(yield* deeds).toEqual(ids)
      }),
    ),
  },
  {
    name: "ends a row without a call when there is nothing to call",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, outside, ids }) {
        plan.begin.set("b", Effect.void)
        yield* add("a", "b", "c")
        yield* turn()
        expect(outside).toEqual(["a", "c"])
        expect(yield* ids).toEqual([])
      }),
    ),
  },
  {
    name: "passes every call value unchanged",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, ended, ids }) {
        const circular: Record<string, unknown> = { amount: 12n }
        circular["self"] = circular
        plan.begin.set("a", Effect.succeed(circular)).set("b", Effect.succeed(null))
        plan.call.set("a", Effect.fail("lost"))
        plan.end.set("a", Effect.succeed(again))
        yield* add("a", "b")
        yield* turn()
        expect(ended.map(({ call }) => call)).toEqual([circular, null])
        expect(yield* ids).toEqual(["a"])
      }),
    ),
  },
  {
    name: "leaves a row that is called to its claim until the mark is too old",
    check: on(
      Effect.fnUntraced(function* ({ add, claim, instance, makeAll, finish, outside, ids }) {
        const other = yield* instance()
        yield* add("a")
        const called = yield* claim()
        for (const millis of [0, 2_000, 10_000]) expect(yield* later(millis)(claim(10, other))).toEqual([])
        yield* finish(yield* makeAll(called))
        expect(outside).toEqual(["a"])
        expect(yield* ids).toEqual([])
      }),
    ),
  },
  {
    name: "returns a call whose result was never recorded as unknown, and repeats nothing by itself",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, makeAll, instance, begun, outside, row, ids }) {
        yield* add("made", "marked")
        const called = yield* claim()
        yield* makeAll(called.filter(({ id }) => id === "made"))
        expect(yield* row("made")).toMatchObject({ isCalled: true, attempts: 1 })
        const next = yield* instance()
        plan.begin.set("made", Effect.void).set("marked", Effect.void)
        yield* later(tooOld)(claim(10, next))
        expect(begun).toEqual([
          [
            { id: "made", isUnknown: false },
            { id: "marked", isUnknown: false },
          ],
          [
            { id: "made", isUnknown: true },
            { id: "marked", isUnknown: true },
          ],
        ])
        expect(outside).toEqual(["made"])
        expect(yield* ids).toEqual([])
      }),
    ),
  },
  {
    name: "ignores a result that arrives after its claim was lost",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, makeAll, finish, ended, row, ids, deeds }) {
        yield* add("a", "b")
        const late = yield* makeAll(yield* claim())
        const current = yield* later(tooOld)(claim())
        plan.end.set("a", Effect.succeed(again))
        yield* finish(late)
        expect(yield* row("a")).toMatchObject({ isCalled: true, attempts: 2 })
        expect([ended, yield* deeds]).toEqual([[], []])
        // Both in one batch, as when one process claimed it twice.
        yield* finish([...late, ...(yield* later(tooOld)(makeAll(current)))])
        expect(ended.map(({ id }) => id)).toEqual(["a", "b"])
        expect(yield* ids).toEqual(["a"])
        yield* finish(late)
        expect(yield* deeds).toEqual(["a", "b"])
      }),
    ),
  },
  {
    name: "treats an error, an interruption and no answer within the deadline as unknown",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, ended, row, begun, claim }) {
        plan.call
          .set("dies", broken)
          .set("fails", Effect.fail("refused\nby them"))
          .set("hangs", Effect.never)
          .set("interrupts", Effect.interrupt)
        const ids = [...plan.call.keys()]
        for (const id of ids) plan.end.set(id, Effect.succeed(again))
        yield* add(...ids)
        yield* turn()
        expect(ended.map(({ result }) => result)).toEqual([
          { _tag: "Unknown", reason: "it cannot be done" },
          { _tag: "Unknown", reason: "refused by them" },
          { _tag: "Unknown", reason: "no answer within 2 s" },
          { _tag: "Unknown", reason: expect.any(String) },
        ])
        for (const id of ids) {
          expect(yield* row(id)).toMatchObject({ attempts: 1, isCalled: false, isUnknown: true, reason: "unknown" })
        }
        yield* later(60_000)(claim())
        expect(begun.at(-1)!.every(({ isUnknown }) => isUnknown)).toBe(true)
      }),
    ),
  },
  {
    name: "ends a call at its deadline even when it ignores interruption",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, ended }) {
        const over = yield* Deferred.make<void>()
        plan.call.set("a", Effect.uninterruptible(Deferred.await(over)))
        yield* add("a")
        const turned = yield* Effect.timeoutOption(
          Effect.forkDetach(turn()).pipe(Effect.flatMap(Fiber.join)),
          "8 seconds",
        )
        yield* Deferred.succeed(over, undefined)
        expect(Option.isSome(turned)).toBe(true)
        expect(ended).toMatchObject([{ id: "a", result: { _tag: "Unknown" } }])
      }),
    ),
  },
  {
    name: "makes no call when it was frozen after the mark, and logs that",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, makeAll, finish, outside, row }) {
        plan.end.set("a", Effect.succeed(again))
        yield* add("a")
        const called = yield* claim()
        const finished = yield* later(5_001)(makeAll(called))
        expect(outside).toEqual([])
        yield* finish(finished)
        expect(yield* row("a")).toMatchObject({ attempts: 0, isUnknown: false, reason: "not-made" })
      }),
    ),
  },
  {
    name: "does not count a call that was not made as an attempt, and leaves an unknown call unknown",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, claim, row, begun, waits, makeAll, finish }) {
        plan.call.set("a", Effect.fail(new NotMade({ reason: "the circuit is open" })))
        plan.end.set("a", Effect.succeed(again))
        yield* add("a")
        yield* turn()
        expect(yield* row("a")).toMatchObject({ attempts: 0, isCalled: false, isUnknown: false, reason: "not-made" })
        expect((yield* row("a"))!.error).toBe("the circuit is open")
        about(yield* waits("a"), 10)
        yield* later(10_001)(claim())
        expect(begun.at(-1)).toEqual([{ id: "a", isUnknown: false }])
        const called = yield* later(10_001 + tooOld)(claim())
        yield* finish(yield* later(10_001 + tooOld)(makeAll(called)))
        expect(yield* row("a")).toMatchObject({ attempts: 1, isUnknown: true, reason: "not-made" })
      }),
    ),
  },
]

const retrying: ReadonlyArray<Check<Subject>> = [
  {
    name: "retries a row by its schedule and its number of attempts",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, row, waits, outside }) {
        plan.retry = Schedule.exponential("20 seconds")
        plan.end.set("a", Effect.succeed(again))
        yield* add("a")
        yield* turn()
        about(yield* waits("a"), 20)
        yield* later(15_000)(turn())
        expect(outside).toEqual(["a"])
        yield* later(20_001)(turn())
        about(yield* later(20_001)(waits("a")), 40)
        expect(yield* row("a")).toMatchObject({ attempts: 2, isUnknown: false, reason: null, error: null })
      }),
    ),
  },
  {
    name: "retries a row after the time that its end returns",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, waits }) {
        plan.end.set("a", Effect.succeed(againAfter("1 hour")))
        yield* add("a")
        yield* turn()
        about(yield* waits("a"), 3_600)
      }),
    ),
  },
  {
    name: "retries a row each minute after the end of its schedule",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, waits }) {
        plan.retry = Schedule.recurs(0)
        plan.end.set("a", Effect.succeed(again))
        yield* add("a")
        yield* turn()
        about(yield* waits("a"), 60)
      }),
    ),
  },
]

const failing: ReadonlyArray<Check<Subject>> = [
  {
    name: "makes a row wait whose begin fails, with the error, and delays no other",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, outside, row, waits, steps, charge }) {
        plan.begin.set("b", broken)
        yield* add("a", "b", "c")
        yield* turn()
        expect(outside).toEqual(["a", "c"])
        expect(yield* row("b")).toEqual({
          id: "b",
          attempts: 1,
          isCalled: false,
          isUnknown: false,
          reason: "failed",
          error: "it cannot be done",
        })
        about(yield* waits("b"), 10)
        expect(yield* steps.failed([charge.name], 10)).toEqual([{ name: charge.name, id: "b" }])
        plan.begin.clear()
        yield* later(10_001)(turn())
        expect(outside).toEqual(["a", "c", "b"])
        expect(yield* steps.failed([charge.name], 10)).toEqual([])
      }),
    ),
  },
  {
    name: "makes a row wait whose end fails, as unknown, and records the others",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, row, ids, deeds, begun, claim }) {
        plan.end.set("b", broken)
        yield* add("a", "b", "c")
        yield* turn()
        expect(yield* deeds).toEqual(["a", "c"])
        expect(yield* ids).toEqual(["b"])
        expect(yield* row("b")).toMatchObject({ attempts: 1, isCalled: false, isUnknown: true, reason: "failed" })
        yield* later(10_001)(claim())
        expect(begun.at(-1)).toEqual([{ id: "b", isUnknown: true }])
      }),
    ),
  },
  {
    name: "treats too few results of begin or end as a defect, and loses no row",
    check: on(
      Effect.fnUntraced(function* ({ charge, add, steps, row }) {
        yield* add("a")
        yield* steps.claim({ ...charge, begin: () => Effect.succeed([]) }, 10)
        expect(yield* row("a")).toMatchObject({ isUnknown: false, reason: "failed" })
        const { called } = yield* later(10_001)(steps.claim(charge, 10))
        const finished = called.map((one): Finished => ({ ...one, result: { _tag: "Answered", answer: 1 } }))
        yield* steps.finish({ ...charge, end: () => Effect.succeed([]) }, finished)
        expect(yield* row("a")).toMatchObject({ isUnknown: true, reason: "failed" })
      }),
    ),
  },
  {
    name: "interrupts a begin that is stuck for seconds",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, row, outside }) {
        plan.begin.set("a", Effect.never)
        yield* add("a", "b")
        yield* turn()
        expect(outside).toEqual(["b"])
        expect(yield* row("a")).toMatchObject({ reason: "failed", error: expect.stringContaining("did nothing") })
      }),
    ),
  },
  {
    name: "makes a row wait whose statement cannot run, while the database answers",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn, outside, row }) {
        plan.begin.set("b", lockNotGot)
        yield* add("a", "b", "c")
        yield* turn()
        expect(outside).toEqual(["a", "c"])
        expect(yield* row("b")).toMatchObject({ isCalled: false, isUnknown: false, reason: "failed" })
      }),
    ),
  },
  {
    name: "leaves a row to the instance that claimed it after it had failed here",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, instance, makeAll, finish, row, ids }) {
        let probes = 0
        let theirs: ReadonlyArray<Called> = []
        const other = yield* instance()
        // Asked once for the batch and once for the row, each time after what failed was undone.
        const probe = Effect.suspend(() => {
          if (++probes !== 2) return Effect.void
          plan.begin.clear()
          return Effect.orDie(Effect.map(claim(10, other), (called) => void (theirs = called)))
        })
        const steps = yield* instance({ probe })
        plan.begin.set("a", lockNotGot)
        yield* add("a")
        expect(yield* claim(10, steps)).toEqual([])
        expect(theirs.map(({ id }) => id)).toEqual(["a"])
        expect(yield* row("a")).toMatchObject({ isCalled: true, reason: null })
        yield* finish(yield* makeAll(theirs))
        expect(yield* ids).toEqual([])
      }),
    ),
  },
  {
    name: "leaves a row to the instance that claimed it after its end had failed here",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, database, instance, makeAll, finish, row, ids }) {
        const other = yield* instance()
        yield* add("a")
        const late = yield* makeAll(yield* claim())
        let theirs: ReadonlyArray<Called> = []
        const claimed = Effect.suspend(() => {
          plan.end.clear()
          return Effect.orDie(Effect.map(later(tooOld)(claim(10, other)), (called) => void (theirs = called)))
        })
        let transactions = 0
        // In the first the end fails; in the second the row is put off.
        const transaction: typeof database.transaction = (work) =>
          Effect.suspend(() => Effect.andThen(++transactions === 2 ? claimed : Effect.void, database.transaction(work)))
        plan.end.set("a", broken)
        yield* finish(late, yield* instance({ transaction }))
        expect(theirs.map(({ id }) => id)).toEqual(["a"])
        expect(yield* row("a")).toMatchObject({ isCalled: true, attempts: 2, reason: null })
        yield* finish(yield* later(tooOld)(makeAll(theirs)))
        expect(yield* ids).toEqual([])
      }),
    ),
  },
]

const logging: ReadonlyArray<Check<Subject>> = [
  {
    name: "logs only ids, never the text of an error",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, turn }) {
        const lines: Array<unknown> = []
        const capture = Logger.layer([
          Logger.make(({ message, cause, fiber }) => {
            lines.push(message, Cause.pretty(cause), fiber.getRef(References.CurrentLogAnnotations))
          }),
        ])
        const personal = Effect.die(new Error("ada@example.org is known"))
        plan.begin.set("began", personal)
        plan.call.set("called", personal)
        plan.end.set("ended", personal)
        yield* add("began", "called", "ended")
        yield* turn().pipe(Effect.provide(capture), Effect.provideService(References.MinimumLogLevel, "All"))
        const written = JSON.stringify(lines)
        for (const id of ["began", "called", "ended"]) expect(written).toContain(id)
        expect(written).not.toContain("ada@example.org")
      }),
    ),
  },
]

const outages: ReadonlyArray<Check<Subject>> = [
  {
    name: "changes nothing while the database is unavailable, and continues afterwards",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, makeAll, finish, instance, row, ids, outside, deeds }) {
        const steps = yield* instance({ probe: away })
        plan.begin.set("a", connectionLost)
        yield* add("a", "b")
        expect(Exit.isFailure(yield* Effect.exit(claim(10, steps)))).toBe(true)
        expect(yield* row("a")).toMatchObject({ attempts: 0, isCalled: false, reason: null })
        plan.begin.clear()
        const finished = yield* makeAll(yield* claim())
        plan.end.set("b", connectionLost)
        expect(Exit.isFailure(yield* Effect.exit(finish(finished, steps)))).toBe(true)
        expect(yield* row("b")).toMatchObject({ isCalled: true })
        plan.end.clear()
        yield* finish(finished, steps)
        expect([outside, yield* deeds, yield* ids]).toEqual([["a", "b"], ["a", "b"], []])
      }),
    ),
  },
  {
    name: "records the other results when the statement of one cannot run, and that one once it can",
    check: on(
      Effect.fnUntraced(function* ({ plan, add, claim, makeAll, finish, ids, deeds }) {
        yield* add("a", "b", "c")
        const finished = yield* makeAll(yield* claim())
        plan.end.set("a", lockNotGot)
        expect(Exit.isFailure(yield* Effect.exit(finish(finished)))).toBe(true)
        expect(yield* ids).toEqual(["a"])
        plan.end.clear()
        yield* finish(finished)
        expect([yield* ids, yield* deeds]).toEqual([[], ["b", "c", "a"]])
      }),
    ),
  },
  {
    name: "pauses while the database must not be written",
    check: on(
      Effect.fnUntraced(function* ({ charge, add, claim, instance, begun }) {
        const steps = yield* instance({ writable: away })
        yield* add("a")
        for (const refused of [claim(10, steps), steps.namesDue([charge.name])]) {
          const exit = yield* Effect.exit<unknown, unknown, never>(refused)
          expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBeInstanceOf(DatabaseUnavailable)
        }
        expect(begun).toEqual([])
      }),
    ),
  },
]

const sideBySide: ReadonlyArray<Check<Subject>> = [
  {
    name: "shares the rows between instances, so that each is called once",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* ({ charge, tasks, turn, instance, outside, ids, plan }) {
        const names = Array.from({ length: 200 }, (_, n) => String(n))
        // All begin at about the same time.
        for (const name of names) plan.begin.set(name, Effect.as(Effect.yieldNow, name))
        yield* tasks.add(
          charge.name,
          names.map((id) => ({ id })),
        )
        const drain = Effect.gen(function* () {
          const steps = yield* instance()
          while ((yield* turn(steps)).length > 0);
        })
        yield* Effect.all(
          Array.from({ length: 6 }, () => drain),
          { concurrency: "unbounded" },
        )
        expect(yield* ids).toEqual([])
        expect(outside.toSorted()).toEqual(names.toSorted())
      }),
    ),
  },
  {
    name: "waits for no row that another transaction has locked",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* ({ sql, charge, tasks, database, add, claim }) {
        yield* add("a", "b", "c")
        const [locked, free] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const lock = Effect.gen(function* () {
          yield* sql`select from task where id = 'a' for update`
          yield* Deferred.succeed(locked, undefined)
          yield* Deferred.await(free)
        })
        const holder = yield* Effect.forkChild(database.transaction(lock))
        yield* Deferred.await(locked)
        yield* tasks.remove(charge.name, ["a", "b"])
        const called = yield* Effect.exit(claim())
        yield* Deferred.succeed(free, undefined)
        yield* Fiber.join(holder)
        expect(Exit.isSuccess(called) && called.value.map(({ id }) => id)).toEqual(["c"])
      }),
    ),
  },
]

/**
 * What DELIVERY.md promises of tasks: no call without its decision; a call whose result was recorded is never
 * repeated, one whose result was not comes back as unknown; and a row that fails holds up no other.
 */
export const tasksSuite: ReadonlyArray<Check<Subject>> = [
  ...adding,
  ...calling,
  ...retrying,
  ...failing,
  ...logging,
  ...outages,
  ...sideBySide,
]
