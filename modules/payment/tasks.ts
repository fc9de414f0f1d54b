import { Effect } from "effect"
import { type NotMade, task } from "../../runtime/module/Task.ts"
import { Circuit } from "./Circuit.ts"
import type { ChargeAnswer, ChargeCall } from "./Payment.ts"
import { type NoAnswer, PaymentProvider, type Refund } from "./PaymentProvider.ts"
import { Payments } from "./Payments.ts"
import { taskNames } from "./PaymentStore.ts"

/** Time for a look-up (3 s) and a charge (8 s), each after a wait at the circuit (1 s). */
const deadlineMillis = 15_000

type Call<Answer> = Effect.Effect<Answer, NoAnswer | NotMade, Payments | PaymentProvider | Circuit>

/**
 * Only the first charge of a payment counts for the circuit: repeated failures of one payment give no new information
 * about the provider.
 */
const charge = ({ _tag, charges, order_id, terms }: ChargeCall): Call<ChargeAnswer> =>
  Effect.gen(function* () {
    const provider = yield* PaymentProvider
    const circuit = yield* Circuit
    const wanted = { ...terms, order_id }
    if (_tag === "Charge") return yield* circuit.through(provider.charge(wanted), { counts: true })
    const found = yield* circuit.through(provider.lookUp(wanted), { counts: false })
    if (found._tag === "Charged" || !charges) return found
    return yield* circuit.through(provider.charge(wanted), { counts: false })
  })

const refund = (refund: Refund): Call<void> =>
  Effect.gen(function* () {
    const provider = yield* PaymentProvider
    const circuit = yield* Circuit
    return yield* circuit.through(provider.refund(refund), { counts: false })
  })

export const tasks = [
  task({
    name: taskNames.charge,
    deadlineMillis,
    begin: (items) => Payments.use((payments) => payments.beginCharges(items)),
    call: charge,
    end: (ended) => Payments.use((payments) => payments.endCharges(ended)),
  }),
  task({
    name: taskNames.refund,
    deadlineMillis,
    begin: (items) => Payments.use((payments) => payments.beginRefunds(items)),
    call: refund,
    end: (ended) => Payments.use((payments) => payments.endRefunds(ended)),
  }),
]
