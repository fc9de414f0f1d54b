import { Cause, Effect, Exit, Schedule, Scope } from "effect"
import { faultOf } from "./fault.ts"
import { textOf } from "../loop/defect.ts"
import { sqlErrorIn } from "./transaction.ts"

/** Between two looks for a database that is away: 0.1 s doubling to 2 s, jittered. */
const pause = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")]).pipe(Schedule.jittered)

/**
 * Does what a start needs a database for, as often as it takes while that is away; any other failure is the start's.
 * `tell` hears why it waits, and undefined once it does no longer.
 */
export const onceThere = <A, E, R>(
  work: Effect.Effect<A, E, R>,
  tell: (reason: string | undefined) => Effect.Effect<void>,
) =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const step = yield* Schedule.toStepWithSleep(pause)
    for (;;) {
      const scope = yield* Scope.fork(outer)
      const exit = yield* Effect.exit(Scope.provide(work, scope))
      if (Exit.isSuccess(exit)) {
        yield* tell(undefined)
        return exit.value
      }
      yield* Scope.close(scope, exit)
      if (faultOf(exit.cause) === "event") return yield* exit
      yield* tell(reasonOf(exit.cause))
      yield* Effect.ignore(step(undefined))
    }
  })

/** What the database, or the system, says of it. */
export const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = sqlErrorIn(cause)
  return textOf(error === undefined ? Cause.squash(cause) : firstOf(error.reason.cause)).split("\n")[0]!
}

/** A host with several addresses fails by an error for each, and says nothing itself. */
const firstOf = (error: unknown): unknown => (error instanceof AggregateError ? error.errors[0] : error)
