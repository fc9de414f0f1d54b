import { Cause, Context, Duration, Effect, type Latch, Option, Schedule } from "effect"
import { textOf } from "./defect.ts"
import { monotonicMillis } from "./monotonic.ts"

/**
 * The loops of this process, and when each last turned. A stalled loop makes `/livez` fail. A loop in back-off still turns,
 * so an outage does not cause restarts.
 */
export class Loops extends Context.Service<
  Loops,
  {
    readonly turned: (name: string) => Effect.Effect<void>
    readonly ended: (name: string) => Effect.Effect<void>
    /** Records why the last turn failed; undefined when it succeeded. */
    readonly faltered: (name: string, reason: string | undefined) => Effect.Effect<void>
    /** Why the last turn of a loop failed; undefined when it succeeded. */
    readonly faultOf: (name: string) => Effect.Effect<string | undefined>
    /** The loops that have not turned for longer than this. */
    readonly still: (forMillis: number) => Effect.Effect<ReadonlyArray<string>>
  }
>()("galleria/Loops") {}

export const makeLoops = (): Loops["Service"] => {
  const turns = new Map<string, number>()
  const faults = new Map<string, string>()
  return {
    turned: (name) => Effect.map(monotonicMillis, (now) => void turns.set(name, now)),
    ended: (name) => Effect.sync(() => void turns.delete(name)),
    faltered: (name, reason) =>
      Effect.sync(() => void (reason === undefined ? faults.delete(name) : faults.set(name, reason))),
    faultOf: (name) => Effect.sync(() => faults.get(name)),
    still: (forMillis) =>
      Effect.map(monotonicMillis, (now) => [...turns].flatMap(([name, at]) => (now - at > forMillis ? [name] : []))),
  }
}

/** The wait of a loop after a failed turn: 0.1 s doubling to 10 s, jittered. */
export const backOff = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")]).pipe(
  Schedule.jittered,
)

/**
 * Repeats `turn` for ever: at once while it returns true (there may be more), else when `wake` opens or `poll` has passed; a
 * turn that returns a number knows that there is more in so many milliseconds, and is repeated then if `poll` is longer.
 * A failed turn is retried with back-off; the log has one line for the first failure and one for the recovery. Turns are not
 * traced, except work on an event (`telemetry/trace.ts`).
 */
export const loop = <E, R>(options: {
  readonly name: string
  readonly turn: Effect.Effect<boolean | number, E, R>
  readonly wake: Latch.Latch
  readonly poll: Duration.Input
  /** Checked after each turn; the loop ends when it returns true. Open `wake` after a change. */
  readonly isOver?: () => boolean
}): Effect.Effect<void, never, R | Loops> =>
  Effect.gen(function* () {
    const loops = yield* Loops
    yield* Effect.addFinalizer(() => loops.ended(options.name))
    let failures = 0
    let pause = yield* Schedule.toStepWithSleep(backOff)
    while (!options.isOver?.()) {
      yield* loops.turned(options.name)
      yield* options.wake.close
      const exit = yield* Effect.exit(options.turn)
      if (exit._tag === "Success") {
        if (failures > 0) {
          yield* Effect.logInfo(`${options.name} recovered after ${failures} failed attempts`)
          yield* loops.faltered(options.name, undefined)
          pause = yield* Schedule.toStepWithSleep(backOff)
          failures = 0
        }
        if (exit.value !== true && !options.isOver?.()) yield* rest(options, exit.value || Infinity)
        continue
      }
      // A loop that is being stopped ends here; a turn that interrupted itself counts as failed.
      yield* Effect.yieldNow
      yield* loops.faltered(options.name, messageOf(exit.cause))
      if (failures++ === 0) {
        yield* Effect.logWarning(`${options.name} failed; retrying with back-off`, exit.cause)
      }
      if (!options.isOver?.()) yield* Effect.ignore(pause(undefined))
    }
  }).pipe(Effect.scoped, Effect.withTracerEnabled(false))

/**
 * Registers the runs of a loop that does not use `loop`: each run is in `Loops` while it lasts, and counts as stalled when it
 * takes too long. Between two runs the loop is idle. Without `Loops`, as in some tests, it does nothing.
 */
export const watched = (name: string) =>
  Effect.map(
    Effect.serviceOption(Loops),
    (loops) =>
      <A, E, R>(work: Effect.Effect<A, E, R>) =>
        Option.match(loops, {
          onNone: () => work,
          onSome: ({ turned, ended }) => Effect.andThen(turned(name), Effect.ensuring(work, ended(name))),
        }),
  )

/** How often an idle loop reports that it is not stalled. */
const signMillis = 20_000

/** Waits until `wake` opens, or `poll` or `most` milliseconds have passed. */
const rest = (
  options: { readonly name: string; readonly wake: Latch.Latch; readonly poll: Duration.Input },
  most: number,
) =>
  Effect.gen(function* () {
    const { turned } = yield* Loops
    for (let left = Math.min(Duration.toMillis(options.poll), most); left > 0; left -= signMillis) {
      if (Option.isSome(yield* Effect.timeoutOption(options.wake.await, Math.min(left, signMillis)))) return
      yield* turned(options.name)
    }
  })

const messageOf = (cause: Cause.Cause<unknown>): string => textOf(Cause.squash(cause)).split("\n")[0]!
