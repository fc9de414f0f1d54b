import { Context, type Effect, Schema } from "effect"
import type { NotMade } from "../../runtime/module/Task.ts"
import type { Money } from "../Money.ts"

/** The provider did not answer, or gave an invalid answer: it is unknown whether the call took effect. */
export class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

export interface Charge {
  /** Calls with the same key charge at most once. */
  readonly key: string
  readonly order_id: number
  readonly amount: Money
  readonly payment_method: string
}

export interface Refund {
  /** Calls with the same key refund at most once. */
  readonly key: string
  /** The key of the charge to refund. */
  readonly charge_key: string
  /** The whole amount of that charge. */
  readonly amount: Money
}

export type Answer =
  | { readonly _tag: "Charged" }
  /** `reason` is the provider's text: 1 to 500 characters without control characters. */
  | { readonly _tag: "Declined"; readonly reason: string }

/**
 * Charges payment methods and refunds charges. Every call is idempotent by its key: a repeated call has no further effect
 * and the same answer. A call fails with `NotMade` when it certainly had no effect, otherwise with `NoAnswer`.
 */
export class PaymentProvider extends Context.Service<
  PaymentProvider,
  {
    readonly charge: (charge: Charge) => Effect.Effect<Answer, NoAnswer | NotMade>
    /** The charge with this key, refunded or not. */
    readonly lookUp: (
      charge: Pick<Charge, "key" | "amount">,
    ) => Effect.Effect<{ readonly _tag: "Charged" } | { readonly _tag: "NoCharge" }, NoAnswer | NotMade>
    readonly refund: (refund: Refund) => Effect.Effect<void, NoAnswer | NotMade>
  }
>()("payment/PaymentProvider") {}
