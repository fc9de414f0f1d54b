import { Clock, Duration, Effect, Schedule } from "effect"

/** 1 s doubling to 5 min, jittered, for ever. */
export const defaultRetry: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("1 second"),
  Schedule.spaced("5 minutes"),
]).pipe(Schedule.jittered)

/** The wait of a schedule after that many attempts, in ms; undefined when the schedule has ended. */
export const delayAfter = (schedule: Schedule.Schedule<unknown>, attempts: number) =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    let now = yield* Clock.currentTimeMillis
    let delay = 0
    // Each step runs at the time at which it would have occurred, because a schedule may end by elapsed time.
    for (let n = 0; n < attempts; n++) {
      now += delay
      delay = Duration.toMillis((yield* step(now, undefined))[1])
    }
    return delay
  }).pipe(Effect.catchCause(() => Effect.succeed(undefined)))
