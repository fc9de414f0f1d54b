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
    const now = yield* Clock.currentTimeMillis
    let delay = Duration.zero
    for (let n = 0; n < attempts; n++) delay = (yield* step(now, undefined))[1]
    return Duration.toMillis(delay)
  }).pipe(Effect.catchCause(() => Effect.succeed(undefined)))
