import { Clock, Effect, Fiber, type Scope } from "effect"

/** How long (ms) a request waits, and how long a result is kept for the next one. */
const waits = 55_000
const kept = 60_000

/**
 * The result of `work`, or undefined when that takes longer than a request may wait. The work then continues in the scope, and
 * the next request waits for it, or gets its result if that is fresh. It runs once at a time.
 */
export const longRunning = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    let running: Fiber.Fiber<A, E> | undefined
    let endedAt: number | undefined
    const start = Effect.gen(function* () {
      endedAt = undefined
      const ended = Effect.map(Clock.currentTimeMillis, (now) => void (endedAt = now))
      return yield* Effect.forkIn(Effect.ensuring(work, ended), scope)
    })
    return Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (running === undefined || (endedAt !== undefined && now - endedAt > kept)) running = yield* start
      const fiber = running
      return yield* Fiber.join(fiber).pipe(
        Effect.onExit(() =>
          Effect.sync(() => void (endedAt !== undefined && running === fiber && (running = undefined))),
        ),
        Effect.timeoutOrElse({ duration: waits, orElse: () => Effect.succeed(undefined) }),
      )
    })
  }) satisfies Effect.Effect<Effect.Effect<A | undefined, E, R>, never, Scope.Scope>
