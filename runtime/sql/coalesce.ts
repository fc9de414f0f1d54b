import { Cause, Effect, Exit, Queue } from "effect"
import { SqlError } from "effect/sql"
import { faultOf } from "./fault.ts"
import { watched } from "../loop/loop.ts"
import { onBehalfOf, type Place, placeIn } from "../telemetry/trace.ts"
import { DatabaseUnavailable } from "./Database.ts"
import { Patience } from "./patience.ts"

/** The most callers in one run, and the most that may wait; further ones fail. */
const most = { together: 128, waiting: 2_000 }

/** After a run of at least `from` inputs, further ones are collected for so long: callers that were answered call again. */
const linger = { from: 4, millis: 1 }

/**
 * Batches concurrent calls: while `many` runs, further inputs are collected for its next run; a single call runs at once.
 * `many` returns an output for each input, in order, after its commit.
 *
 * A run that fails by a constraint or a conflict with another transaction is repeated for each input alone, so that only
 * the invalid ones fail. A fault of the infrastructure fails every caller of the run. A caller that is interrupted removes
 * its input, unless its run has begun; with `isPatient`, so does a caller whose `Patience` has ended, and it fails. `name` is
 * that of the loop, for `/livez`.
 */
export const coalesce = <Input, Output>(
  name: string,
  many: (inputs: ReadonlyArray<Input>) => Effect.Effect<ReadonlyArray<Output>, SqlError.SqlError>,
  isPatient: boolean,
) =>
  Effect.gen(function* () {
    interface Job {
      readonly input: Input
      readonly caller: Place | undefined
      readonly end: (exit: Exit.Exit<Output>) => void
      /** Its caller does not wait any more. */
      isAbandoned: boolean
    }
    const seen = yield* watched(name)
    const queue = yield* Queue.dropping<Job>(most.waiting)

    const answer = (jobs: ReadonlyArray<Job>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const callers = jobs.flatMap(({ caller }) => caller ?? [])
        const exit = yield* many(jobs.map(({ input }) => input)).pipe(Effect.orDie, onBehalfOf(callers), Effect.exit)
        if (Exit.isSuccess(exit)) {
          for (const [n, job] of jobs.entries()) job.end(Exit.succeed(exit.value[n]!))
        } else if (jobs.length > 1 && faultOf(exit.cause) !== "infrastructure" && !Cause.hasInterrupts(exit.cause)) {
          for (const job of jobs) if (!job.isAbandoned) yield* seen(answer([job]))
        } else {
          for (const job of jobs) job.end(Exit.failCause(exit.cause))
        }
      })

    const next = Effect.map(Queue.takeBetween(queue, 1, most.together), (jobs) =>
      jobs.filter((job) => !job.isAbandoned),
    )
    const turn = Effect.flatMap(next, (jobs) => {
      const run = jobs.length === 0 ? Effect.void : seen(answer(jobs))
      return jobs.length < linger.from ? run : Effect.andThen(run, Effect.sleep(linger.millis))
    })
    const answering = Effect.forever(turn)
    yield* Effect.forkScoped(Effect.withTracerEnabled(answering, false))

    return (input: Input): Effect.Effect<Output> =>
      Effect.withFiber((fiber) =>
        Effect.callback<Output>((resume) => {
          const job: Job = {
            input,
            caller: placeIn(fiber.context),
            isAbandoned: false,
            end: (exit) => {
              clearTimeout(timer)
              resume(exit)
            },
          }
          const leave = () => {
            job.isAbandoned = true
            clearTimeout(timer)
          }
          const left = isPatient ? fiber.getRef(Patience)?.left : undefined
          // A race with a timer of Effect would take a fiber for each caller.
          const timer =
            left === undefined || left === Number.POSITIVE_INFINITY
              ? undefined
              : setTimeout(() => {
                  leave()
                  resume(unavailable("the database did not answer in time"))
                }, left)
          if (!Queue.offerUnsafe(queue, job)) job.end(unavailable("too many callers are waiting for the database"))
          return Effect.sync(leave)
        }),
      )
  })

const unavailable = (reason: string) => Exit.die(new DatabaseUnavailable({ reason }))
