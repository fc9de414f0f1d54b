import { Clock, Duration, Effect, Schedule } from "effect"

/** 1 s doubling to 5 min, jittered, for ever. */
export const defaultRetry: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("1 second"),
  Schedule.spaced("5 minutes"),
]).pipe(Schedule.jittered)

/** The wait of a schedule after that many attempts, in ms; undefined when it is done. */
export const delayAfter = (schedule: Schedule.Schedule<unknown>, attempts: number) =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    let now = yield* Clock.currentTimeMillis
    let delay = 0
    // Each step is asked at the time when it would have come, for a schedule may end by the time that has passed.
    for (let n = 0; n < attempts; n++) {
      now += delay
      delay = Duration.toMillis((yield* step(now, undefined))[1])
    }
    return delay
  }).pipe(Effect.catchCause(() => Effect.succeed(undefined)))
