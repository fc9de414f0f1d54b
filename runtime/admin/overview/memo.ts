import { Clock, Effect, Fiber, type Scope } from "effect"

/**
 * `work`, made at most once in `millis`: requests within that time share its result, also while it is being made. It runs
 * in the scope, so that a request that ends early does not end it for the others.
 */
export const memo = <A, E, R>(work: Effect.Effect<A, E, R>, millis: number) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    let known: { readonly at: number; readonly fiber: Fiber.Fiber<A, E> } | undefined
    return Effect.gen(function* () {
      const at = yield* Clock.currentTimeMillis
      if (known === undefined || Math.abs(at - known.at) >= millis) {
        known = { at, fiber: yield* Effect.forkIn(work, scope) }
      }
      return yield* Fiber.join(known.fiber)
    })
  }) satisfies Effect.Effect<Effect.Effect<A, E, R>, never, Scope.Scope>
