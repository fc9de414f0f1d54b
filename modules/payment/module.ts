import { Effect, Layer, Option } from "effect"
import { make } from "../../runtime/module/Module.ts"
import { Circuit, circuitName } from "./Circuit.ts"
import { audit } from "./audit.ts"
import { api } from "./contract/api.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "./contract/events.ts"
import { http } from "./http.ts"
import { journey } from "./journey.ts"
import { orDown } from "./provider/orDown.ts"
import { createPayments } from "./migrations/0001_create_payments.ts"
import { createSandbox } from "./migrations/0002_create_sandbox.ts"
import { Payments } from "./Payments.ts"
import * as HttpProvider from "./provider/HttpProvider.ts"
import * as SandboxProvider from "./provider/SandboxProvider.ts"
import { reactions } from "./reactions.ts"
import { settings } from "./settings.ts"
import { tasks } from "./tasks.ts"

const provider = Layer.unwrap(
  Effect.map(
    Effect.orDie(settings.PAYMENT_PROVIDER_URL),
    Option.match({ onNone: () => SandboxProvider.layer, onSome: HttpProvider.layer }),
  ),
).pipe(orDown)

export const payment = make({
  name: "payment",
  api,
  publishes: [PaymentSuccessful, PaymentFailed, PaymentRefunded],
  reactions,
  tasks,
  checks: [{ name: circuitName, fault: Circuit.use(({ fault }) => fault) }],
  audit,
  journey,
  migrations: { "0001_create_payments": createPayments, "0002_create_sandbox": createSandbox },
  settings,
  layer: http.pipe(Layer.provideMerge(Layer.mergeAll(Payments.layer, Circuit.layer, provider))),
})
