import { Cause, Clock, Effect, Exit, Fiber, Option } from "effect"
import { clean, textOf } from "../loop/defect.ts"
import { type CallResult, NotMade, type Task } from "../module/Task.ts"
import { recordWithinMillis } from "./claim.ts"
import type { Called } from "./steps.ts"

/** A call begins within this time after its mark, in milliseconds, or not at all: later another instance may have the row. */
const beginWithinMillis = recordWithinMillis / 2

/** Makes a marked call. Returns by its deadline, even when the call ignores the interruption. */
export const make = (task: Task<never>, { call, id, until }: Called): Effect.Effect<CallResult<unknown>> =>
  Effect.gen(function* () {
    const { deadlineMillis } = task
    if ((yield* Clock.currentTimeMillis) > until - deadlineMillis - recordWithinMillis + beginWithinMillis) {
      return { _tag: "NotMade", reason: "this process stood still after it had marked the call" } as const
    }
    const calling = yield* Effect.forkDetach(Effect.suspend(() => task.call(call, id)))
    const exit = yield* Effect.timeoutOption(Fiber.await(calling), deadlineMillis).pipe(
      Effect.ensuring(Effect.sync(() => calling.interruptUnsafe())),
    )
    if (Option.isNone(exit)) return { _tag: "Unknown", reason: `no answer within ${deadlineMillis / 1_000} s` } as const
    return resultOf(exit.value)
  })

const resultOf = (exit: Exit.Exit<unknown, unknown>): CallResult<unknown> => {
  if (Exit.isSuccess(exit)) return { _tag: "Answered", answer: exit.value }
  const error = Cause.squash(exit.cause)
  if (!(error instanceof NotMade)) return { _tag: "Unknown", reason: clean(textOf(error)) }
  const { reason, after } = error
  return { _tag: "NotMade", reason: clean(reason), ...(after && { after }) }
}
