import { expect, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, References, type Scope } from "effect"
import type { SqlClient } from "effect/sql"
import type { EventBus } from "../../events/EventBus.ts"
import { type Database, Databases } from "../../sql/Database.ts"
import { migrate } from "../../sql/migrate.ts"
import { drivers } from "./memory.ts"
import { databasesAt, realPostgres } from "./postgres.ts"

/** One promise, to be asked of any implementation: of the right one it is true, and of one that breaks it, false. */
export interface Check<Subject> {
  readonly name: string
  /** Takes several transactions side by side, which a database of one session does not have. */
  readonly sideBySide?: true
  readonly check: (
    subject: Subject,
  ) => Effect.Effect<void, unknown, Database | SqlClient.SqlClient | EventBus | Scope.Scope>
}

/** An implementation with one deliberate mistake, and the check that has to notice it. */
export interface Mistake<Subject> {
  readonly name: string
  readonly subject: Subject
  readonly caughtBy: string
  readonly sideBySide?: true
}

interface Suite<Subject> {
  readonly checks: ReadonlyArray<Check<Subject>>
  readonly right: Subject
  readonly mistakes: ReadonlyArray<Mistake<Subject>>
}

/**
 * Registers a suite as tests of `name`: on the embedded database and on a real PostgreSQL the right implementation passes
 * each check; on one of them each mistake fails the check that has to notice it.
 */
export const suiteOnEveryDatabase = async <Subject>(name: string, suite: Suite<Subject>) => {
  const { checks, right, mistakes } = suite
  const inOneSession = {
    right,
    checks: checks.filter(isInOneSession),
    mistakes: mistakes.filter(isInOneSession),
  }
  register(`${name} (embedded)`, drivers(), inOneSession)
  const url = await realPostgres()
  if (url === undefined) return
  const sideBySide = { ...suite, mistakes: mistakes.filter((mistake) => !isInOneSession(mistake)) }
  register(`${name} (postgres)`, Layer.provideMerge(databasesAt(url), drivers()), sideBySide)
}

const isInOneSession = (item: { readonly sideBySide?: true }) => item.sideBySide === undefined

const register = <Subject>(
  name: string,
  on: Layer.Layer<Databases | EventBus, unknown>,
  { checks, right, mistakes }: Suite<Subject>,
) =>
  layer(on, { excludeTestServices: true })(name, (it) => {
    for (const check of checks) it.effect(check.name, () => run(check, right))

    for (const { name, subject, caughtBy } of mistakes) {
      it.effect(`is seen to fail with ${name}`, () =>
        Effect.gen(function* () {
          const check = checks.find((check) => check.name === caughtBy)!
          expect(yield* complaintOf(check, subject)).toBe("AssertionError")
        }),
      )
    }
  })

let runs = 0

/** Asks it on an empty database of its own, without a word in the log. */
const run = <Subject>({ check }: Check<Subject>, subject: Subject) =>
  Effect.gen(function* () {
    const database = (yield* Databases).of(`check_${process.pid}_${++runs}`)
    yield* Effect.andThen(migrate({}), check(subject)).pipe(Effect.scoped, Effect.provide(database))
  }).pipe(Effect.timeout("100 seconds"), Effect.provideService(References.MinimumLogLevel, "None"))

/** The name of what a check fails with: that of an assertion, when it noticed, and did not only stumble. */
const complaintOf = <Subject>(check: Check<Subject>, subject: Subject) =>
  Effect.map(Effect.exit(run(check, subject)), (exit) => {
    if (Exit.isSuccess(exit)) return "nothing"
    const error = Cause.squash(exit.cause)
    return error instanceof Error ? error.name : String(error)
  })
