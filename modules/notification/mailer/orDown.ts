import { Effect, Layer } from "effect"
import { Faults, faultText } from "../../../runtime/module/Faults.ts"
import { MailDelayed, Mailer } from "../Mailer.ts"

/** With fault switches, a mailer that sends nothing while the fault `mail` is on; without them, the mailer. */
export const orDown = <E, R>(mailer: Layer.Layer<Mailer, E, R>) =>
  Layer.provide(
    Layer.effect(
      Mailer,
      Effect.gen(function* () {
        const own = yield* Mailer
        const faults = yield* Faults
        if (faults === undefined) return own
        const isDown = faults.add("mail")
        const reason = faultText("mail")
        return {
          channel: own.channel,
          send: (letter) =>
            Effect.suspend(() => (isDown() ? Effect.fail(new MailDelayed({ reason })) : own.send(letter))),
          fault: Effect.suspend(() => (isDown() ? Effect.succeed(reason) : own.fault)),
        }
      }),
    ),
    mailer,
  )
