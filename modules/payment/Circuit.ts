import { Cause, Context, Duration, Effect, Exit, Layer, Metric, Schedule } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { NotMade } from "../../runtime/module/Task.ts"
import { NoAnswer } from "./PaymentProvider.ts"

/** The circuit as metrics, `/readyz` and the store of circuits name it. */
export const circuitName = "payment_provider"

/** Half of the last 20 calls that count failed. */
const tripPolicy = CircuitBreaker.rate({ threshold: 0.5, size: 20 })

/** 2 s doubling to 30 s. */
const openDuration = Schedule.min([Schedule.exponential("2 seconds"), Schedule.spaced("30 seconds")])

/**
 * While another call is the probe, a call waits for its turn, but not for long. Without that, payments that were refused
 * together would come again together, and all but the first would be refused again.
 */
const turns = Schedule.spaced("50 millis").pipe(Schedule.jittered, Schedule.upTo({ duration: "1 second" }))
const probeWait = Duration.seconds(1)

const isProbing = (error: unknown) =>
  error instanceof CircuitBreaker.CircuitBreakerError && error.reason._tag === "CircuitHalfOpen"

const states = { Closed: 0, HalfOpen: 1, Open: 2 } as const
const state = Metric.gauge("galleria_circuit_state", {
  description: "The circuit of a call to the outside: 0 closed, 1 half-open, 2 open",
}).pipe(Metric.withAttributes({ module: "payment", circuit: circuitName }))

/** What a call says of the provider: an error of a call that does not count says nothing. */
const outcomeOf = (counts: boolean) => (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isSuccess(exit)) return CircuitBreaker.success
  const error = Cause.squash(exit.cause)
  const isProviders = error instanceof NoAnswer || error instanceof NotMade
  return counts && isProviders ? CircuitBreaker.failure() : CircuitBreaker.ignored
}

const notMadeOf = ({ reason }: CircuitBreaker.CircuitBreakerError) =>
  reason._tag === "CircuitOpen"
    ? new NotMade({ reason: "the circuit of the provider is open", after: reason.retryAfter })
    : new NotMade({ reason: "the circuit of the provider is half-open", after: probeWait })

/**
 * Keeps calls from a provider that does not answer. After too many failures the circuit is open, and calls are not made;
 * then one call at a time is let through, and the first that is answered closes it again.
 */
export class Circuit extends Context.Service<Circuit>()("payment/Circuit", {
  make: Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make({ tripPolicy, openDuration })
    let known: CircuitBreaker.State["_tag"] = "Closed"

    const observe = Effect.gen(function* () {
      known = (yield* breaker.state(circuitName))._tag
      yield* Metric.update(state, states[known])
    }).pipe(Effect.ignore)
    yield* observe

    /**
     * Makes a call, or fails with `NotMade` while the circuit is open. Its failure counts against the provider where
     * `counts`; its success always counts for it.
     */
    const through = <A>(call: Effect.Effect<A, NoAnswer | NotMade>, { counts }: { readonly counts: boolean }) =>
      breaker.execute(call, { key: circuitName, classify: outcomeOf(counts) }).pipe(
        Effect.retry({ while: isProbing, schedule: turns }),
        Effect.catchTag("CircuitBreakerError", (error) => Effect.fail(notMadeOf(error))),
        Effect.ensuring(observe),
      )

    /** What is wrong with the provider, as far as the last calls showed; undefined: nothing. */
    const fault = Effect.sync(() =>
      known === "Closed"
        ? undefined
        : `the provider does not answer: its circuit is ${known === "Open" ? "open" : "half-open"}`,
    )

    return { through, fault }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
