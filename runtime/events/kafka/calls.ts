import { Cause, Deferred, Effect, Exit } from "effect"
import { type Handle, HandledTooLate, partitionName } from "../EventBus.ts"
import { mostRecords, type Slice } from "./records.ts"

/** A `handle` that has not ended within this after its interruption hangs. */
const graceMillis = 5_000

export interface Calls {
  /**
   * Has a slice handled, in one call with the slices of other partitions that are there. Interrupts the call, which is a
   * failure, after the deadline or when `evicted` fails. `begins` is called when the call begins.
   */
  readonly run: (
    slice: Slice,
    evicted: Effect.Effect<never, unknown>,
    begins?: () => void,
  ) => Effect.Effect<Exit.Exit<void, unknown>>
  /** No call is running, apart from those that hang. */
  readonly isIdle: () => boolean
  /** Whether a call has begun to hang since this was last asked. */
  readonly foundHanging: () => boolean
  /** Calls that hang. */
  readonly hanging: () => number
}

/** A slice that waits for its call. */
interface Job {
  readonly slice: Slice
  readonly begins: () => void
  isEvicted: boolean
  /** "lead": it makes the next call. "alone": the call for several partitions failed. */
  readonly turn: Deferred.Deferred<"lead" | "alone" | Exit.Exit<void, unknown>>
}

/**
 * Makes the calls of a member's `handle`, and finds those that ignore their interruption. Slices that come while a call runs
 * share the next one: a transaction costs as much for one partition as for many. After such a call has failed, each of its
 * partitions is called alone until that succeeds, so a failure holds up its own partition only.
 */
export const makeCalls = (handle: Handle, deadlineMillis: number): Calls => {
  const running = makeRunning(deadlineMillis)
  const waiting: Array<Job> = []
  /** Partitions that are called alone, by name. */
  const apart = new Set<string>()
  /** Makes the shared call, or is about to. */
  let leader: Job | undefined

  const promote = () => {
    leader = waiting.shift()
    if (leader !== undefined) Deferred.doneUnsafe(leader.turn, Exit.succeed("lead" as const))
  }
  const leave = (job: Job) => {
    const at = waiting.indexOf(job)
    if (at >= 0) waiting.splice(at, 1)
    if (leader === job) promote()
  }

  const call = (jobs: ReadonlyArray<Job>, evicted: Effect.Effect<never, unknown>) =>
    Effect.suspend(() => {
      const [first, ...rest] = jobs.flatMap(({ slice }) => slice.records)
      for (const { begins } of jobs) begins()
      const ended = running.begin(() => leave(jobs[0]!))
      return handle(
        [first!, ...rest],
        jobs.map(({ slice }) => slice.span),
      ).pipe(
        Effect.timeoutOrElse({
          duration: deadlineMillis,
          orElse: () => new HandledTooLate({ millis: deadlineMillis }),
        }),
        Effect.raceFirst(evicted),
        Effect.ensuring(Effect.sync(ended)),
        Effect.exit,
      )
    })

  const alone = (job: Job, evicted: Effect.Effect<never, unknown>) =>
    Effect.tap(call([job], evicted), (exit) =>
      Effect.sync(() => Exit.isSuccess(exit) && apart.delete(partitionName(job.slice.span))),
    )

  const lead = (job: Job, evicted: Effect.Effect<never, unknown>) =>
    Effect.gen(function* () {
      // The other partitions of the same fetch come in the same turn of the event loop.
      yield* Effect.yieldNow
      const jobs = [job, ...companyOf(job, waiting)]
      const exit = yield* call(jobs, evicted)
      const isShared = jobs.length > 1 && Exit.isFailure(exit)
      if (isShared) for (const { slice } of jobs) apart.add(partitionName(slice.span))
      const outcome = isShared && !isTooLate(exit) ? "alone" : exit
      for (const other of jobs.slice(1)) Deferred.doneUnsafe(other.turn, Exit.succeed(outcome))
      return job.isEvicted ? exit : outcome
    }).pipe(Effect.ensuring(Effect.sync(() => leave(job))))

  return {
    run: (slice, evicted, begins = () => {}) =>
      Effect.suspend(() => {
        const job: Job = { slice, begins, isEvicted: false, turn: Deferred.makeUnsafe() }
        const lost = Effect.tapError(evicted, () => Effect.sync(() => void (job.isEvicted = true)))
        if (apart.has(partitionName(slice.span))) return alone(job, lost)
        waiting.push(job)
        if (leader === undefined) promote()
        return Deferred.await(job.turn).pipe(
          Effect.raceFirst(Effect.catch(lost, (refusal) => Effect.succeed(Exit.fail(refusal)))),
          Effect.flatMap((turn) => (turn === "lead" ? lead(job, lost) : Effect.succeed(turn))),
          Effect.flatMap((turn) => (turn === "alone" ? alone(job, lost) : Effect.succeed(turn))),
          Effect.ensuring(Effect.sync(() => leave(job))),
        )
      }),
    ...running,
  }
}

const isTooLate = (exit: Exit.Exit<void, unknown>) =>
  Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof HandledTooLate

/** Takes the slices out of `waiting` that share a call with `job`: as many as their records allow. */
const companyOf = (job: Job, waiting: Array<Job>): ReadonlyArray<Job> => {
  let records = job.slice.records.length
  const fit = waiting.findIndex(({ slice }) => (records += slice.records.length) > mostRecords)
  return waiting.splice(0, fit < 0 ? waiting.length : fit)
}

/** The calls that run, and those that hang. */
const makeRunning = (deadlineMillis: number) => {
  /** By call: when it began, and what is done when it hangs. */
  const running = new Map<object, { readonly began: number; readonly hangs: () => void }>()
  const hanging = new Set<object>()
  return {
    /** A call begins. Returns what is to be called when it has ended. */
    begin: (hangs: () => void) => {
      const call = {}
      running.set(call, { began: performance.now(), hangs })
      return () => void (running.delete(call), hanging.delete(call))
    },
    isIdle: () => running.size === 0,
    foundHanging: () => {
      const late = performance.now() - deadlineMillis - graceMillis
      for (const [call, { began, hangs }] of running) {
        if (began > late) continue
        running.delete(call)
        hanging.add(call)
        hangs()
        return true
      }
      return false
    },
    hanging: () => hanging.size,
  }
}
