import { expect, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, References, type Scope } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { Database, Databases } from "../Database.ts"
import { migrate, type Migrations } from "../migrate.ts"

/** What the port promises, whatever the driver. */
export interface Check {
  readonly name: string
  readonly check: Effect.Effect<void, unknown, Databases | Scope.Scope>
}

/** Registers the checks as tests of `Database (<name>)`: data, so that they can also be run against broken drivers. */
export const databaseSuite = (name: string, on: Layer.Layer<Databases, unknown>) =>
  layer(on, { excludeTestServices: true })(`Database (${name})`, (it) => {
    for (const check of checks) it.effect(check.name, () => run(check))
  })

/** Runs a check, on modules of its own. */
export const run = ({ check }: Check) =>
  Effect.scoped(check).pipe(Effect.timeout("60 seconds"), Effect.provideService(References.MinimumLogLevel, "None"))

let schemas = 0
const newSchema = () => `module_${++schemas}`

/** One instance of the module whose database that is, until the scope closes. */
const instance = (schema: string) =>
  Effect.gen(function* () {
    const context = yield* Layer.build((yield* Databases).of(schema))
    return { ...Context.get(context, Database), sql: Context.get(context, SqlClient.SqlClient) }
  })

const numbersIn = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ n: number }>`select n from number order by n`, (rows) => rows.map(({ n }) => n))

const withNumbers = (schema: string) =>
  Effect.tap(instance(schema), ({ sql }) => sql`create table number (n int primary key)`)

/** A migration that notes that it ran, and takes its time. */
const notes: Migrations = {
  "0001_create_number": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table number (n int primary key)`
    yield* sql`select pg_sleep(0.2)`
  }),
  "0002_number": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`insert into number values (1)`).pipe(Effect.asVoid),
}

/** Callers of `travel` whose first run is under way until `go`, and what was in each run. */
const travelling = Effect.gen(function* () {
  const { coalesce } = yield* instance(newSchema())
  const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const runs: Array<ReadonlyArray<number>> = []
  const travel = yield* coalesce((inputs: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      runs.push(inputs)
      yield* Deferred.succeed(begun, undefined)
      yield* Deferred.await(go)
      return inputs.map((n) => n * 10)
    }),
  )
  const first = yield* Effect.forkChild(travel(1))
  yield* Deferred.await(begun)
  return { travel, runs, first, go: Deferred.succeed(go, undefined) }
})

export const checks: ReadonlyArray<Check> = [
  {
    name: "leaves nothing behind of a transaction that fails, by whatever",
    check: Effect.gen(function* () {
      const { sql, transaction } = yield* withNumbers(newSchema())
      const write = (n: number) => Effect.orDie(sql`insert into number values (${n})`)
      for (const end of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        const exit = yield* Effect.exit(transaction(Effect.andThen(write(1), end)))
        expect(Exit.isFailure(exit)).toBe(true)
      }
      yield* transaction(write(2))
      expect(yield* numbersIn(sql)).toEqual([2])
    }),
  },
  {
    name: "lets a transaction join the one that runs",
    check: Effect.gen(function* () {
      const { sql, transaction } = yield* withNumbers(newSchema())
      const inner = transaction(Effect.orDie(sql`insert into number values (1)`))
      const outer = transaction(Effect.andThen(inner, Effect.fail("no")))
      expect(Exit.isFailure(yield* Effect.exit(outer))).toBe(true)
      expect(yield* numbersIn(sql)).toEqual([])
    }),
  },
  {
    name: "dies of a commit that is refused, with what the server says",
    check: Effect.gen(function* () {
      const { sql, transaction } = yield* instance(newSchema())
      yield* sql`create table twin (n int unique deferrable initially deferred)`
      const exit = yield* Effect.exit(transaction(Effect.orDie(sql`insert into twin values (1), (1)`)))
      const [reason] = Exit.isFailure(exit) ? exit.cause.reasons : []
      expect(reason).toMatchObject({ _tag: "Die", defect: { reason: { _tag: "UniqueViolation" } } })
      expect(yield* sql`select * from twin`).toEqual([])
    }),
  },
  {
    name: "finds rows by an index, though the statement was planned while the table was empty",
    check: Effect.gen(function* () {
      const { sql } = yield* withNumbers(newSchema())
      const planOf = (statement: string) =>
        Effect.map(sql<{ "QUERY PLAN": string }>`explain ${sql.literal(statement)}`, (lines) =>
          lines.map((line) => line["QUERY PLAN"]).join("\n"),
        )
      const wanted = "select value::int as n from json_array_elements_text('[1, 2]')"
      expect(yield* planOf(`select n from number where n in (${wanted})`)).not.toContain("Seq Scan on number")
      const change = `update number set n = w.n from (${wanted}) w where number.n = w.n`
      expect(yield* planOf(change)).not.toContain("Seq Scan on number")
    }),
  },
  {
    name: "rings a bell after the commit, and not when that does not come",
    check: Effect.gen(function* () {
      const { transaction, bell } = yield* instance(newSchema())
      const { ring, next } = bell("news")
      const rung = yield* next
      yield* Effect.exit(transaction(Effect.andThen(ring, Effect.fail("no"))))
      expect(yield* Deferred.isDone(rung)).toBe(false)
      yield* transaction(
        Effect.gen(function* () {
          yield* ring
          expect(yield* Deferred.isDone(rung)).toBe(false)
        }),
      )
      expect(yield* Deferred.isDone(rung)).toBe(true)
    }),
  },
  {
    name: "rings at once outside of a transaction, for all who wait, and no other bell",
    check: Effect.gen(function* () {
      const { bell } = yield* instance(newSchema())
      const [one, other] = [yield* bell("news").next, yield* bell("olds").next]
      yield* bell("news").ring
      expect(yield* Deferred.isDone(one)).toBe(true)
      expect(yield* Deferred.isDone(other)).toBe(false)
      expect(yield* Deferred.isDone(yield* bell("news").next)).toBe(false)
    }),
  },
  {
    name: "gives callers who travel together each their own answer",
    check: Effect.gen(function* () {
      const { travel, runs, first, go } = yield* travelling
      const others = yield* Effect.forEach([2, 3, 4], (n) => Effect.forkChild(travel(n), { startImmediately: true }))
      yield* go
      expect(yield* Effect.forEach([first, ...others], Fiber.join)).toEqual([10, 20, 30, 40])
      expect(runs).toEqual([[1], [2, 3, 4]])
    }),
  },
  {
    name: "refuses of callers who travel together the guilty one alone",
    check: Effect.gen(function* () {
      const { sql, coalesce } = yield* withNumbers(newSchema())
      const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const travel = yield* coalesce((inputs: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          yield* Deferred.succeed(begun, undefined)
          yield* Deferred.await(go)
          yield* sql`insert into number select json_array_elements_text(${JSON.stringify(inputs)}::json)::int`
          return inputs
        }),
      )
      const first = yield* Effect.forkChild(travel(1))
      yield* Deferred.await(begun)
      const others = yield* Effect.forEach([2, 1, 3], (n) => Effect.forkChild(travel(n), { startImmediately: true }))
      yield* Deferred.succeed(go, undefined)
      const exits = yield* Effect.forEach([first, ...others], Fiber.await)
      expect(exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : "refused"))).toEqual([1, 2, "refused", 3])
      expect(yield* numbersIn(sql)).toEqual([1, 2, 3])
    }),
  },
  {
    name: "leaves undone what callers wanted who go before it has begun",
    check: Effect.gen(function* () {
      const { travel, runs, first, go } = yield* travelling
      const [gone, other] = yield* Effect.forEach([2, 3], (n) =>
        Effect.forkChild(travel(n), { startImmediately: true }),
      )
      yield* Fiber.interrupt(gone!)
      yield* go
      expect(yield* Effect.forEach([first, other!], Fiber.join)).toEqual([10, 30])
      expect(runs).toEqual([[1], [3]])
    }),
  },
  {
    name: "fails only the caller whose input it was, of those who travel together, also by a lock or a deadlock",
    check: Effect.gen(function* () {
      const { coalesce } = yield* instance(newSchema())
      const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const runs: Array<ReadonlyArray<number>> = []
      const faults = [
        new SqlError.DeadlockError({ cause: new Error("deadlock") }),
        new SqlError.LockTimeoutError({ cause: new Error("lock time-out") }),
        new SqlError.UniqueViolation({ cause: new Error("taken"), constraint: "number_pkey" }),
      ]
      const travel = yield* coalesce((inputs: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          runs.push(inputs)
          if (inputs.includes(1)) {
            yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(go)
          }
          const fault = faults.find((_, n) => inputs.includes(n + 10))
          if (fault !== undefined) return yield* new SqlError.SqlError({ reason: fault })
          return inputs.map((n) => n * 10)
        }),
      )
      const first = yield* Effect.forkChild(travel(1))
      yield* Deferred.await(begun)
      const fiberOf = (n: number) => Effect.forkChild(Effect.exit(travel(n)), { startImmediately: true })
      const others = yield* Effect.forEach([2, 10, 3, 11, 4, 12, 5], fiberOf)
      yield* Deferred.succeed(go, undefined)
      expect(yield* Fiber.join(first)).toBe(10)
      const exits = yield* Effect.forEach(others, Fiber.join)
      expect(exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : "failed"))).toEqual([
        20,
        "failed",
        30,
        "failed",
        40,
        "failed",
        50,
      ])
      expect(runs.slice(0, 2)).toEqual([[1], [2, 10, 3, 11, 4, 12, 5]])
    }),
  },
  {
    name: "gives each module tables of its own, by the same names",
    check: Effect.gen(function* () {
      const [one, other] = [yield* withNumbers(newSchema()), yield* withNumbers(newSchema())]
      yield* one.sql`insert into number values (1)`
      yield* (yield* other.exclusive)`insert into number values (2)`
      expect(yield* numbersIn(one.sql)).toEqual([1])
      expect(yield* numbersIn(other.sql)).toEqual([2])
      expect(yield* numbersIn(yield* one.exclusive)).toEqual([1])
    }),
  },
  {
    name: "answers a probe, and may be written to",
    check: Effect.gen(function* () {
      const { probe, writable } = yield* instance(newSchema())
      yield* Effect.andThen(probe, writable)
    }),
  },
  {
    name: "is migrated once, by the first of several instances that start",
    check: Effect.gen(function* () {
      const schema = newSchema()
      const start = Effect.gen(function* () {
        const context = yield* Layer.build((yield* Databases).of(schema))
        yield* Effect.provideContext(migrate(notes), context)
        return yield* numbersIn(Context.get(context, SqlClient.SqlClient))
      })
      expect(yield* Effect.all([start, start, start], { concurrency: 3 })).toEqual([[1], [1], [1]])
      expect(yield* start).toEqual([1])
    }),
  },
  {
    name: "is left by a migration that fails as it was, and migrated by the next start",
    check: Effect.gen(function* () {
      const { sql, upgrading } = yield* instance(newSchema())
      const database = Context.make(SqlClient.SqlClient, sql).pipe(
        Context.add(Database, { ...(yield* instance(newSchema())), upgrading }),
      )
      const broken = { ...notes, "0003_broken": Effect.fail("no") }
      expect(Exit.isFailure(yield* Effect.exit(Effect.provideContext(migrate(broken), database)))).toBe(true)
      expect(yield* Effect.exit(numbersIn(sql))).toMatchObject({ _tag: "Failure" })
      yield* Effect.provideContext(migrate(notes), database)
      expect(yield* numbersIn(sql)).toEqual([1])
    }),
  },
  {
    name: "is left alone by an older release",
    check: Effect.gen(function* () {
      const context = yield* Layer.build((yield* Databases).of(newSchema()))
      yield* Effect.provideContext(migrate(notes), context)
      const { "0001_create_number": first } = notes
      yield* Effect.provideContext(migrate({ "0001_create_number": first! }), context)
      expect(yield* numbersIn(Context.get(context, SqlClient.SqlClient))).toEqual([1])
    }),
  },
]
