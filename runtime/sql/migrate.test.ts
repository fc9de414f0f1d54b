import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { faultOf } from "./fault.ts"
import { drivers } from "../test/harness/memory.ts"
import { Databases } from "./Database.ts"
import { migrate, type Migrations } from "./migrate.ts"

/** How a start goes whose module has these migrations, in an empty database. */
const startWith = (migrations: Migrations) =>
  Effect.flatMap(Databases, ({ of }) =>
    Effect.exit(migrate(migrations, "shop").pipe(Effect.scoped, Effect.provide(of("shop")))),
  ).pipe(Effect.provide(drivers()))

const failing = (failure: Effect.Effect<void, unknown, SqlClient.SqlClient>) => ({ "0001_create_goods": failure })

const sqlError = (reason: SqlError.SqlError["reason"]) => Effect.fail(new SqlError.SqlError({ reason }))

describe("A migration that fails", () => {
  it.effect.each([
    [
      "by a statement",
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql`create table outbox (n int)`).pipe(Effect.asVoid),
      'relation "outbox" already exists',
    ],
    ["by itself", Effect.fail(new Error("the goods are gone\nat all")), "the goods are gone"],
    ["by a defect", Effect.die(new TypeError("x is not a function")), "x is not a function"],
  ] as const)("%s says whose it is, where it is and why, in one sentence", ([, failure, reason]) =>
    Effect.gen(function* () {
      const exit = yield* startWith(failing(failure))
      const error = Exit.isFailure(exit) ? (Cause.squash(exit.cause) as Error) : undefined
      expect(error?.message).toBe(
        `migration 0001_create_goods of shop failed (modules/shop/migrations/0001_create_goods.ts): ${reason}`,
      )
      expect(Exit.isFailure(exit) && faultOf(exit.cause)).toBe("event")
    }),
  )

  const cause = new Error("away")
  it.effect.each([
    ["a lock that it waited for", new SqlError.LockTimeoutError({ cause }), "again"],
    ["a connection that broke", new SqlError.ConnectionError({ cause }), "infrastructure"],
  ] as const)("by %s is no failure of its own, and is waited out", ([, reason, fault]) =>
    Effect.gen(function* () {
      const exit = yield* startWith(failing(sqlError(reason)))
      expect(Exit.isFailure(exit) && faultOf(exit.cause)).toBe(fault)
    }),
  )
})
