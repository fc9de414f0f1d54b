import { Effect } from "effect"
import { Unavailable } from "../http/Problem.ts"

/** Reads for operators that run at once in a process; further ones are answered 503. */
const mostReads = 4

/** Limits how many reads run at once, so that operators never slow down orders. */
export const makeReads = () => {
  let running = 0
  return <A, E, R>(read: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      if (running >= mostReads) return Effect.die(new Unavailable({}))
      running++
      return Effect.ensuring(
        read,
        Effect.sync(() => running--),
      )
    })
}
