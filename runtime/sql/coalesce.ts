import { Cause, Deferred, Effect, Exit, Queue } from "effect"
import { SqlError } from "effect/sql"
import { faultOf } from "../delivery/fault.ts"
import { onBehalfOf, type Place, placeIn } from "../telemetry/trace.ts"
import { DatabaseUnavailable } from "./Database.ts"

/** Callers in one statement, and callers that may wait before the next is told to come back later. */
const limits = { together: 128, waiting: 2_000 }

/**
 * Lets concurrent callers travel together: while one run of `many` is under way the next callers gather, alone a
 * caller goes at once. `many` answers each of its inputs, in order, after its commit.
 *
 * A constraint that fails the whole run is tried again one caller at a time, so only the guilty one fails; a fault of
 * the infrastructure fails everybody. A caller that leaves does not take its input out of a run that has begun.
 */
export const coalesce = <Input, Output>(
  many: (inputs: ReadonlyArray<Input>) => Effect.Effect<ReadonlyArray<Output>, SqlError.SqlError>,
) =>
  Effect.gen(function* () {
    interface Job {
      readonly input: Input
      readonly caller: Place | undefined
      readonly done: Deferred.Deferred<Output>
    }
    const queue = yield* Queue.dropping<Job>(limits.waiting)

    const answer = (jobs: ReadonlyArray<Job>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const callers = jobs.flatMap(({ caller }) => caller ?? [])
        const exit = yield* many(jobs.map(({ input }) => input)).pipe(Effect.orDie, onBehalfOf(callers), Effect.exit)
        if (Exit.isSuccess(exit)) {
          for (const [n, job] of jobs.entries()) Deferred.doneUnsafe(job.done, Exit.succeed(exit.value[n]!))
        } else if (jobs.length > 1 && faultOf(exit.cause) === "event" && !Cause.hasInterrupts(exit.cause)) {
          for (const job of jobs) yield* answer([job])
        } else {
          for (const job of jobs) Deferred.doneUnsafe(job.done, Exit.failCause(exit.cause))
        }
      })

    const answering = Effect.forever(Effect.flatMap(Queue.takeBetween(queue, 1, limits.together), answer))
    yield* Effect.forkScoped(Effect.withTracerEnabled(answering, false))

    return (input: Input): Effect.Effect<Output> =>
      Effect.withFiber(({ context }) => {
        const done = Deferred.makeUnsafe<Output>()
        return Queue.offerUnsafe(queue, { input, caller: placeIn(context), done })
          ? Deferred.await(done)
          : Effect.die(new DatabaseUnavailable({ reason: "too many callers are waiting for the database" }))
      })
  })
