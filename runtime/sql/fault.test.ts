import { describe, expect, it, layer } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Schema } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { Postpone, Reject } from "../module/Reaction.ts"
import { DatabaseUnavailable, Databases } from "./Database.ts"
import { drivers } from "../test/harness/memory.ts"
import { type Fault, faultOf } from "./fault.ts"

const causeOf = <E, R>(effect: Effect.Effect<unknown, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) throw new Error("it succeeded")
    return exit.cause
  })

/** What PostgreSQL says by its codes, each raised for real, so that the driver's own reading of it is tested too. */
const codes: ReadonlyArray<readonly [code: string, what: string, fault: Fault]> = [
  ["40001", "a serialization failure", "again"],
  ["40P01", "a deadlock", "again"],
  ["55P03", "a lock that was not to be had in time", "again"],
  ["08006", "a connection that failed", "infrastructure"],
  ["25006", "a read-only database", "infrastructure"],
  ["25P03", "a session ended for idling in its transaction", "infrastructure"],
  ["25P04", "a session ended for the length of its transaction", "infrastructure"],
  ["28P01", "a wrong password", "infrastructure"],
  ["42501", "a privilege that is missing", "infrastructure"],
  ["53100", "a full disk", "infrastructure"],
  ["53200", "no memory left", "infrastructure"],
  ["53300", "too many connections", "infrastructure"],
  ["57014", "a statement that took too long", "infrastructure"],
  ["57P01", "a shutdown by the administrator", "infrastructure"],
  ["57P02", "a crash of another session", "infrastructure"],
  ["57P03", "a server that is starting", "infrastructure"],
  ["58030", "a disk that cannot be read", "infrastructure"],
  ["XX000", "an internal error", "infrastructure"],
  ["XX001", "a damaged page", "infrastructure"],
  ["22P02", "a text that is no number", "event"],
  ["23502", "a missing value", "event"],
  ["23503", "a reference to nothing", "event"],
  ["25P02", "a statement in a failed transaction", "event"],
  ["54000", "a value that is too large", "event"],
  ["P0001", "an exception of a function", "event"],
]

const statements: ReadonlyArray<readonly [what: string, statement: string]> = [
  ["a value that is there already", "insert into thing values (1), (1)"],
  ["a check that does not hold", "insert into thing values (-1)"],
  ["a statement that is no SQL", "selekt 1"],
  ["a table that is not there", "select * from nothing"],
  ["a division by zero", "select 1 / 0"],
]

layer(drivers(), { excludeTestServices: true })("faultOf, of what the database says", (it) => {
  const withThings = <E, R>(use: (sql: SqlClient.SqlClient) => Effect.Effect<void, E, R>) =>
    Effect.gen(function* () {
      const database = (yield* Databases).of("faults")
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table if not exists thing (id int primary key check (id > 0))`
        yield* use(sql)
      }).pipe(Effect.provide(database))
    })

  const findsOf = (statement: string, fault: Fault) =>
    withThings((sql) =>
      Effect.gen(function* () {
        const failure = yield* causeOf(sql.unsafe(statement))
        expect(Cause.hasFails(failure)).toBe(true)
        expect(faultOf(failure)).toBe(fault)
        // Stores turn errors that callers cannot handle into defects.
        expect(faultOf(yield* causeOf(Effect.orDie(sql.unsafe(statement))))).toBe(fault)
      }),
    )

  for (const [code, what, fault] of codes) {
    it.effect(`says ${fault} of ${what} (${code})`, () =>
      findsOf(`do $$ begin raise exception using errcode = '${code}'; end $$`, fault),
    )
  }
  for (const [what, statement] of statements) {
    it.effect(`says event of ${what}`, () => findsOf(statement, "event"))
  }
})

const lost = new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause: new Error("closed by peer") }) })
const taken = new SqlError.SqlError({
  reason: new SqlError.UniqueViolation({ cause: Object.assign(new Error(), { code: "23505" }), constraint: "pk" }),
})
const unreadable = Schema.decodeUnknownEffect(Schema.Int)("none")

const others: ReadonlyArray<readonly [what: string, effect: Effect.Effect<unknown, unknown>, fault: Fault]> = [
  ["a lost connection", Effect.fail(lost), "infrastructure"],
  ["a lost connection as a defect", Effect.die(lost), "infrastructure"],
  [
    "a lost connection, seen again in the clean-up",
    Effect.ensuring(Effect.fail(lost), Effect.die(lost)),
    "infrastructure",
  ],
  ["a database that is unavailable", Effect.fail(new DatabaseUnavailable({ reason: "full" })), "infrastructure"],
  [
    "a database that is unavailable, as a defect",
    Effect.die(new DatabaseUnavailable({ reason: "" })),
    "infrastructure",
  ],
  ["an event that broke a rule", Effect.ensuring(Effect.fail(taken), Effect.die(new Error("too"))), "event"],
  ["a rejection", Effect.fail(new Reject({ reason: "no" })), "event"],
  ["a postponement", Effect.fail(new Postpone({ for: Duration.hours(1) })), "event"],
  ["data that fails its schema", unreadable, "event"],
  ["a failure that is no error", Effect.fail("no"), "event"],
  ["a defect", Effect.die(new TypeError("undefined is not a function")), "event"],
  ["a defect that is no error", Effect.die(undefined), "event"],
  ["a reaction that interrupts itself", Effect.interrupt, "event"],
]

describe("faultOf", () => {
  for (const [what, effect, fault] of others) {
    it.effect(`says ${fault} of ${what}`, () =>
      Effect.map(causeOf(effect), (cause) => expect(faultOf(cause)).toBe(fault)),
    )
  }
})
