import { Cause, Deferred, Effect, Exit, Queue } from "effect"
import { SqlError } from "effect/sql"
import { faultOf } from "./fault.ts"
import { watched } from "../loop/loop.ts"
import { onBehalfOf, type Place, placeIn } from "../telemetry/trace.ts"
import { DatabaseUnavailable } from "./Database.ts"

/** Callers in one statement, and callers that may wait before the next is told to come back later. */
const limits = { together: 128, waiting: 2_000 }

/**
 * Lets concurrent callers travel together: while one run of `many` is under way the next callers gather, alone a
 * caller goes at once. `many` answers each of its inputs, in order, after its commit.
 *
 * A run that fails by a constraint, or because another transaction was in its way, is tried again one caller at a time, so
 * that only those fail whose input it was. A fault of the infrastructure fails every caller of the run. A caller that
 * leaves takes its input back, but not out of a statement that has begun. `name` is that of the loop, for `/livez`.
 */
export const coalesce = <Input, Output>(
  name: string,
  many: (inputs: ReadonlyArray<Input>) => Effect.Effect<ReadonlyArray<Output>, SqlError.SqlError>,
) =>
  Effect.gen(function* () {
    interface Job {
      readonly input: Input
      readonly caller: Place | undefined
      readonly done: Deferred.Deferred<Output>
      /** Its caller is gone, and nobody else would know what became of it. */
      isLeft: boolean
    }
    const seen = yield* watched(name)
    const queue = yield* Queue.dropping<Job>(limits.waiting)

    const answer = (jobs: ReadonlyArray<Job>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const callers = jobs.flatMap(({ caller }) => caller ?? [])
        const exit = yield* many(jobs.map(({ input }) => input)).pipe(Effect.orDie, onBehalfOf(callers), Effect.exit)
        if (Exit.isSuccess(exit)) {
          for (const [n, job] of jobs.entries()) Deferred.doneUnsafe(job.done, Exit.succeed(exit.value[n]!))
        } else if (jobs.length > 1 && faultOf(exit.cause) !== "infrastructure" && !Cause.hasInterrupts(exit.cause)) {
          for (const job of jobs) if (!job.isLeft) yield* seen(answer([job]))
        } else {
          for (const job of jobs) Deferred.doneUnsafe(job.done, Exit.failCause(exit.cause))
        }
      })

    const next = Effect.map(Queue.takeBetween(queue, 1, limits.together), (jobs) => jobs.filter((job) => !job.isLeft))
    const turn = Effect.flatMap(next, (jobs) => (jobs.length === 0 ? Effect.void : seen(answer(jobs))))
    const answering = Effect.forever(turn)
    yield* Effect.forkScoped(Effect.withTracerEnabled(answering, false))

    return (input: Input): Effect.Effect<Output> =>
      Effect.withFiber(({ context }) => {
        const done = Deferred.makeUnsafe<Output>()
        const job: Job = { input, caller: placeIn(context), done, isLeft: false }
        return Queue.offerUnsafe(queue, job)
          ? Effect.onInterrupt(Deferred.await(done), () => Effect.sync(() => void (job.isLeft = true)))
          : Effect.die(new DatabaseUnavailable({ reason: "too many callers are waiting for the database" }))
      })
  })
