import { Effect, Layer } from "effect"
import { Faults, faultText } from "../../../runtime/module/Faults.ts"
import { NoAnswer, PaymentProvider } from "../PaymentProvider.ts"

/** With fault switches, a provider that does not answer while the fault `provider` is on; without them, the provider. */
export const orDown = <E, R>(provider: Layer.Layer<PaymentProvider, E, R>) =>
  Layer.provide(
    Layer.effect(
      PaymentProvider,
      Effect.gen(function* () {
        const { charge, lookUp, refund } = yield* PaymentProvider
        const faults = yield* Faults
        if (faults === undefined) return { charge, lookUp, refund }
        const isDown = faults.add("provider")
        const answer = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | NoAnswer> =>
          Effect.suspend((): Effect.Effect<A, E | NoAnswer> =>
            isDown() ? Effect.fail(new NoAnswer({ reason: faultText("provider") })) : call,
          )
        return {
          charge: (asked) => answer(charge(asked)),
          lookUp: (asked) => answer(lookUp(asked)),
          refund: (asked) => answer(refund(asked)),
        }
      }),
    ),
    provider,
  )
