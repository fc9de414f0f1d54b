import { Cause, Context, Duration, Effect, Exit, Layer, Metric, Schedule } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { NotMade } from "../../runtime/module/Task.ts"
import { NoAnswer } from "./PaymentProvider.ts"

/** The name of the circuit in metrics, `/readyz` and the circuit store. */
export const circuitName = "payment_provider"

/** Opens when half of the last 20 counted calls failed. */
const tripPolicy = CircuitBreaker.rate({ threshold: 0.5, size: 20 })

/** How long the circuit stays open: 2 s doubling to 30 s. */
const openDuration = Schedule.min([Schedule.exponential("2 seconds"), Schedule.spaced("30 seconds")])

/**
 * How long a call waits while another call is the probe. Without this wait, payments that were refused together would be
 * retried together, and all but the first would be refused again.
 */
const turns = Schedule.spaced("50 millis").pipe(Schedule.jittered, Schedule.upTo({ duration: "1 second" }))
const probeWait = Duration.seconds(1)

const isProbing = (error: unknown) =>
  error instanceof CircuitBreaker.CircuitBreakerError && error.reason._tag === "CircuitHalfOpen"

const states = { Closed: 0, HalfOpen: 1, Open: 2 } as const
const state = Metric.gauge("galleria_circuit_state", {
  description: "The circuit of an external call: 0 closed, 1 half-open, 2 open",
}).pipe(Metric.withAttributes({ module: "payment", circuit: circuitName }))

/** The result of a call for the circuit: an error counts only if the call counts. */
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
 * Stops calls to a provider that does not answer. After too many failures the circuit is open and no call is made; then it
 * allows one call at a time, and the first that is answered closes it.
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
     * Makes a call, or fails with `NotMade` while the circuit is open. A failure counts only with `counts`; a success always
     * counts.
     */
    const through = <A>(call: Effect.Effect<A, NoAnswer | NotMade>, { counts }: { readonly counts: boolean }) =>
      breaker.execute(call, { key: circuitName, classify: outcomeOf(counts) }).pipe(
        Effect.retry({ while: isProbing, schedule: turns }),
        Effect.catchTag("CircuitBreakerError", (error) => Effect.fail(notMadeOf(error))),
        Effect.ensuring(observe),
      )

    /** The fault of the provider according to the last calls; undefined when there is none. */
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
