import { Effect, type Exit } from "effect"
import { type Handle, HandledTooLate } from "../EventBus.ts"
import type { Slice } from "./records.ts"

/** A `handle` that has not ended within this after its interruption hangs. */
const graceMillis = 5_000

export interface Calls {
  /** Calls `handle`. Interrupts it, which is a failure, after the deadline or when `evicted` fails. */
  readonly run: (slice: Slice, evicted: Effect.Effect<never, unknown>) => Effect.Effect<Exit.Exit<void, unknown>>
  /** No call is running, apart from those that hang. */
  readonly isIdle: () => boolean
  /** Whether a call has begun to hang since this was last asked. */
  readonly foundHanging: () => boolean
  /** Calls that hang. */
  readonly hanging: () => number
}

/** Makes the calls of a member's `handle`, and finds those that ignore their interruption. */
export const makeCalls = (handle: Handle, deadlineMillis: number): Calls => {
  /** By call: when it began. */
  const running = new Map<object, number>()
  const hanging = new Set<object>()
  return {
    run: ({ records, span }, evicted) =>
      Effect.suspend(() => {
        const call = {}
        running.set(call, performance.now())
        return handle(records, [span]).pipe(
          Effect.timeoutOrElse({
            duration: deadlineMillis,
            orElse: () => new HandledTooLate({ millis: deadlineMillis }),
          }),
          Effect.raceFirst(evicted),
          Effect.ensuring(Effect.sync(() => void (running.delete(call), hanging.delete(call)))),
          Effect.exit,
        )
      }),
    isIdle: () => running.size === 0,
    foundHanging: () => {
      const late = performance.now() - deadlineMillis - graceMillis
      for (const [call, began] of running) {
        if (began > late) continue
        running.delete(call)
        hanging.add(call)
        return true
      }
      return false
    },
    hanging: () => hanging.size,
  }
}
