import { Cause, Effect, Exit, Schedule, Scope } from "effect"
import { faultOf } from "./fault.ts"
import { textOf } from "../loop/defect.ts"
import { sqlErrorIn } from "./transaction.ts"

/** Between two attempts while a database is unavailable: 0.1 s doubling to 2 s, jittered. */
const pause = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")]).pipe(Schedule.jittered)

/**
 * Runs work of the start that needs a database, and retries it while that is unavailable; any other failure is returned.
 * `report` is called with the reason of each wait, and with undefined after success.
 */
export const onceThere = <A, E, R>(
  work: Effect.Effect<A, E, R>,
  report: (reason: string | undefined) => Effect.Effect<void>,
) =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const step = yield* Schedule.toStepWithSleep(pause)
    for (;;) {
      const scope = yield* Scope.fork(outer)
      const exit = yield* Effect.exit(Scope.provide(work, scope))
      if (Exit.isSuccess(exit)) {
        yield* report(undefined)
        return exit.value
      }
      yield* Scope.close(scope, exit)
      if (faultOf(exit.cause) === "event") return yield* exit
      yield* report(reasonOf(exit.cause))
      yield* Effect.ignore(step(undefined))
    }
  })

/** The first line of the message of the database, or of the system. */
export const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = sqlErrorIn(cause)
  return textOf(error === undefined ? Cause.squash(cause) : firstOf(error.reason.cause)).split("\n")[0]!
}

/** A host with several addresses fails with an error for each, in an error without a message. */
const firstOf = (error: unknown): unknown => (error instanceof AggregateError ? error.errors[0] : error)
