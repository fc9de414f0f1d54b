import { expect, it, layer } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Latch, Layer, Redacted, References, Schedule, Scope } from "effect"
import { TestClock } from "effect/testing"
import { SqlClient, SqlError } from "effect/sql"
import { Loops, makeLoops } from "../loop/loop.ts"
import { again, done, type Item, task } from "../module/Task.ts"
import { Database, Databases, DatabaseUnavailable } from "../sql/Database.ts"
import { migrate } from "../sql/migrate.ts"
import { databaseAt } from "../sql/postgres/PostgresDatabase.ts"
import { until } from "../test/harness/bus.ts"
import { drivers } from "../test/harness/memory.ts"
import { newDatabase, realPostgres } from "../test/harness/postgres.ts"
import { stopwatch } from "../test/harness/stopwatch.ts"
import { makeSteps } from "./steps.ts"
import { tasksIn } from "./taskTable.ts"
import { mostCalls, work } from "./worker.ts"

/** A task that calls an outside which counts its calls by id; `call` is how a call goes. */
const calling = (name: string, call: (id: string) => Effect.Effect<unknown, unknown> = () => Effect.void) => {
  const begun: Array<Item> = []
  const calls: Array<string> = []
  const ended: Array<string> = []
  let underWay = 0
  let most = 0
  return {
    begun,
    calls,
    ended,
    underWay: () => underWay,
    most: () => most,
    task: task({
      name,
      deadlineMillis: 20_000,
      retry: Schedule.spaced("100 millis"),
      begin: (items) => Effect.sync(() => (begun.push(...items), items.map(({ id }) => id))),
      call: (id) =>
        Effect.suspend(() => {
          calls.push(id)
          most = Math.max(most, ++underWay)
          return call(id)
        }).pipe(Effect.ensuring(Effect.sync(() => underWay--))),
      end: (results) =>
        Effect.sync(() => {
          ended.push(...results.map(({ id }) => id))
          return results.map(({ result }) => (result._tag === "Answered" ? done : again))
        }),
    }),
  }
}

let modules = 0

/** Runs a test in a module of its own, with what one process knows of its loops, without the log of what fails. */
const inModule = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const database = (yield* Databases).of(`worker_${process.pid}_${++modules}`)
    yield* Effect.andThen(migrate({}), test).pipe(Effect.scoped, Effect.provide(database))
  }).pipe(
    Effect.provideServiceEffect(Loops, Effect.sync(makeLoops)),
    Effect.provideService(References.MinimumLogLevel, "None"),
  )

const add = (name: string, ...ids: ReadonlyArray<string | number>) =>
  Effect.gen(function* () {
    const tasks = tasksIn(yield* SqlClient.SqlClient, [name], Effect.void)
    yield* tasks.add(
      name,
      ids.map((id) => ({ id })),
    )
  })

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

/** A worker of these tasks in a scope of its own. */
const working = (...those: ReadonlyArray<ReturnType<typeof calling>>) =>
  Effect.gen(function* () {
    const wake = Latch.makeUnsafe(true)
    const scope = yield* Scope.fork(yield* Effect.scope)
    const worker = yield* work({ module: "suite", tasks: those.map((one) => one.task), wake }).pipe(
      Scope.provide(scope),
    )
    return { ...worker, wake, stop: Scope.close(scope, Exit.void) }
  })

const isEmpty = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql`select from task`, (rows) => rows.length === 0),
)

const connectionLost = Effect.die(
  new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause: new Error("gone"), message: "gone" }) }),
)

layer(drivers(), { excludeTestServices: true })("the worker of tasks", (it) => {
  it.effect("lets no task wait for slow calls of another, makes at most 64 calls at once, and turns meanwhile", () =>
    inModule(
      Effect.gen(function* () {
        const free = yield* Deferred.make<void>()
        const slow = calling("suite.slow", () => Deferred.await(free))
        const fast = calling("suite.fast")
        yield* add(slow.task.name, ...numbers(200))
        yield* working(slow, fast)
        const half = mostCalls / 2
        yield* until(
          "its share hangs",
          Effect.sync(() => slow.underWay() === half),
        )
        for (let n = 0; n < 3; n++) {
          yield* add(fast.task.name, ...numbers(40).map((m) => 40 * n + m))
          yield* until(
            "all of the fast task is done",
            Effect.sync(() => fast.ended.length === 40 * (n + 1)),
          )
        }
        const loops = yield* Loops
        yield* Effect.sleep("2500 millis")
        expect(yield* loops.still(2_000)).toEqual([])
        expect(slow.underWay()).toBe(half)
        yield* Deferred.succeed(free, undefined)
        yield* until("all is done", isEmpty)
        expect(slow.most()).toBe(half)
        expect(fast.most()).toBeLessThanOrEqual(half)
        expect(slow.calls).toHaveLength(200)
      }),
    ),
  )

  it.effect("pauses while the database must not be written, and reports it", () =>
    inModule(
      Effect.gen(function* () {
        let isFull = true
        const database = yield* Database
        const writable = Effect.suspend(() =>
          isFull ? Effect.fail(new DatabaseUnavailable({ reason: "the disk is nearly full" })) : Effect.void,
        )
        const charge = calling("suite.charge")
        yield* add(charge.task.name, "a")
        const { fault } = yield* Effect.provideService(working(charge), Database, { ...database, writable })
        yield* until(
          "it says so",
          Effect.map(fault, (said) => said === "the disk is nearly full"),
        )
        expect(charge.begun).toEqual([])
        isFull = false
        yield* until("all is done", isEmpty)
        yield* until(
          "it says no more",
          Effect.map(fault, (said) => said === undefined),
        )
      }),
    ),
  )

  it.effect("records a result that arrived while the database was unavailable once it is back", () =>
    inModule(
      Effect.gen(function* () {
        let isAway = false
        const database = yield* Database
        const gone = new DatabaseUnavailable({ reason: "gone" })
        const on: Database["Service"] = {
          ...database,
          transaction: (work) => (isAway ? connectionLost : database.transaction(work)),
          probe: Effect.suspend(() => (isAway ? Effect.fail(gone) : Effect.void)),
        }
        const charge = calling("suite.charge", () => Effect.sync(() => void (isAway = true)))
        yield* add(charge.task.name, "a")
        yield* Effect.provideService(working(charge), Database, on)
        yield* until(
          "it is called",
          Effect.sync(() => charge.calls.length === 1),
        )
        yield* Effect.sleep("1500 millis")
        expect(charge.ended).toEqual([])
        isAway = false
        yield* until("all is done", isEmpty)
        expect([charge.calls, charge.ended]).toEqual([["a"], ["a"]])
      }),
    ),
  )

  it.effect("reports which tasks failed by a defect, until they are done", () =>
    inModule(
      Effect.gen(function* () {
        const charge = calling("suite.charge")
        let isBroken = true
        const begin: typeof charge.task.begin = (items) =>
          isBroken ? Effect.die(new Error("it cannot be done")) : charge.task.begin(items)
        const failing = { ...charge, task: { ...charge.task, begin } }
        yield* add(charge.task.name, 7, 8)
        const { fault } = yield* working(failing)
        yield* until(
          "it says so",
          Effect.map(fault, (said) => said === "failed tasks: 2, such as suite.charge 7"),
        )
        isBroken = false
        yield* until("all is done", isEmpty)
        yield* until(
          "it says no more",
          Effect.map(fault, (said) => said === undefined),
        )
      }),
    ),
  )

  it.effect("lets a call that is under way end when it stops, and claims nothing more", () =>
    inModule(
      Effect.gen(function* () {
        const charge = calling("suite.charge", () => Effect.sleep("1 second"))
        yield* add(charge.task.name, "a")
        const { stop } = yield* working(charge)
        yield* until(
          "it is called",
          Effect.sync(() => charge.calls.length === 1),
        )
        const adding = yield* Effect.forkChild(Effect.delay(add(charge.task.name, "b"), "200 millis"))
        yield* stop
        yield* Fiber.join(adding)
        const sql = yield* SqlClient.SqlClient
        expect(charge.ended).toEqual(["a"])
        expect(yield* sql`select id, attempts from task`).toEqual([{ id: "b", attempts: 0 }])
      }),
    ),
  )

  it.effect("stops within seconds though calls hang, and leaves them marked", () =>
    inModule(
      Effect.gen(function* () {
        const charge = calling("suite.charge", () => Effect.uninterruptible(Effect.never))
        yield* add(charge.task.name, "a")
        const { stop } = yield* working(charge)
        yield* until(
          "it is called",
          Effect.sync(() => charge.calls.length === 1),
        )
        const began = yield* Clock.currentTimeMillis
        yield* stop
        expect((yield* Clock.currentTimeMillis) - began).toBeLessThan(8_000)
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`select id, holder is not null as called from task`).toEqual([{ id: "a", called: true }])
        expect(charge.ended).toEqual([])
      }),
    ),
  )

  it.effect("stops at once while it waits to try again", () =>
    inModule(
      Effect.gen(function* () {
        const database = yield* Database
        const writable = Effect.fail(new DatabaseUnavailable({ reason: "away" }))
        const { fault, stop } = yield* Effect.provideService(working(calling("suite.charge")), Database, {
          ...database,
          writable,
        })
        yield* until(
          "it fails",
          Effect.map(fault, (said) => said === "away"),
        )
        yield* Effect.sleep("2 seconds")
        const elapsed = stopwatch()
        yield* stop
        expect(elapsed().ownMillis).toBeLessThan(1_000)
      }),
    ),
  )
})

layer(drivers())("the steps of tasks, by a clock of the test", (it) => {
  it.effect("take their instants from the clock, so that a simulation drives them by hand", () =>
    inModule(
      Effect.gen(function* () {
        const charge = calling("suite.charge", (id) => (id === "hangs" ? Effect.never : Effect.void))
        const steps = yield* makeSteps()
        yield* add(charge.task.name, "a", "hangs", "dies")
        const { called } = yield* steps.claim(charge.task, 10)
        expect(called.map(({ until }) => until)).toEqual([30_000, 30_000, 30_000])
        const [a, hangs] = called.filter(({ id }) => id !== "dies")
        const made = yield* Effect.forkChild(
          Effect.forEach(
            [a!, hangs!],
            (one) => Effect.map(steps.make(charge.task, one), (result) => ({ ...one, result })),
            { concurrency: 2 },
          ),
        )
        yield* TestClock.adjust("20 seconds")
        const finished = yield* Fiber.join(made)
        yield* steps.finish(charge.task, finished)
        const due = (at: number) => Effect.andThen(TestClock.setTime(at), steps.namesDue([charge.task.name]))
        expect((yield* due(20_099)).size).toBe(0)
        expect((yield* due(20_100)).size).toBe(1)
        expect((yield* steps.claim(charge.task, 10)).called).toMatchObject([{ id: "hangs", isUnknown: true }])
        yield* TestClock.setTime(30_000)
        expect((yield* steps.claim(charge.task, 10)).called).toMatchObject([{ id: "dies", isUnknown: true }])
      }),
    ),
  )
})

const url = await realPostgres()
if (url !== undefined) {
  it.live("two workers of tasks share the work on PostgreSQL, and the bell of one wakes the other", () =>
    Effect.gen(function* () {
      const own = yield* newDatabase(url)
      const instance = Layer.build(databaseAt({ url: Redacted.make(own), schema: "suite", alone: false }))
      const [one, other] = [yield* instance, yield* instance]
      yield* Effect.provideContext(migrate({}), one)
      let round = 1
      /** A call ends once both workers have made so many. */
      const both = (): Effect.Effect<void> => {
        const each = 25 * round
        const haveCalled = (): boolean => outsides.every(({ calls }) => calls.length >= each)
        return Effect.asVoid(Effect.repeat(Effect.sleep("5 millis"), { until: haveCalled }))
      }
      const outsides: ReadonlyArray<ReturnType<typeof calling>> = [
        calling("suite.charge", both),
        calling("suite.charge", both),
      ]
      for (const [n, context] of [one, other].entries()) {
        const { bell } = yield* Effect.provideContext(Database, context)
        const wake = Latch.makeUnsafe(true)
        yield* bell("tasks").opens(wake)
        yield* Effect.provideContext(
          work({ module: "suite", tasks: [outsides[n]!.task], wake, poll: "1 hour" }),
          context,
        )
      }
      const sql = yield* Effect.provideContext(SqlClient.SqlClient, one)
      const { bell } = yield* Effect.provideContext(Database, one)
      const tasks = tasksIn(sql, ["suite.charge"], bell("tasks").ring)
      const calls = () => outsides.flatMap((outside) => outside.calls)
      for (; round <= 5; round++) {
        const ids = numbers(300).map((n) => ({ id: round * 1_000 + n }))
        yield* tasks.add("suite.charge", ids)
        yield* until(
          "all is called",
          Effect.sync(() => calls().length === round * 300),
        )
      }
      yield* until("all is done", Effect.provideContext(isEmpty, one))
      expect(new Set(calls()).size).toBe(1_500)
      for (const outside of outsides) expect(outside.calls.length).toBeGreaterThan(100)
    }).pipe(
      Effect.scoped,
      Effect.provideServiceEffect(Loops, Effect.sync(makeLoops)),
      Effect.provideService(References.MinimumLogLevel, "None"),
    ),
  )
}
