import { Context, type Effect, Schema } from "effect"
import type { NotMade } from "../../runtime/module/Task.ts"
import type { Money } from "../Money.ts"

/** The provider did not answer, or not as it should: whether the call took effect is unknown. */
export class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

export interface Charge {
  /** Of all charges of one key at most one takes place. */
  readonly key: string
  readonly order_id: number
  readonly amount: Money
  readonly payment_method: string
}

export interface Refund {
  /** Of all refunds of one key at most one takes place. */
  readonly key: string
  /** The key of the charge that is given back. */
  readonly charge_key: string
  /** The whole amount of that charge. */
  readonly amount: Money
}

export type Answer =
  | { readonly _tag: "Charged" }
  /** `reason` is the provider's word: 1 to 500 characters without control characters. */
  | { readonly _tag: "Declined"; readonly reason: string }

/**
 * Takes money from means of payment, and gives it back. Every call is idempotent by its key: made again it has no further
 * effect and the same answer. A call fails with `NotMade` when it certainly had no effect, else with `NoAnswer`.
 */
export class PaymentProvider extends Context.Service<
  PaymentProvider,
  {
    readonly charge: (charge: Charge) => Effect.Effect<Answer, NoAnswer | NotMade>
    /** The charge of a key, be it refunded or not. */
    readonly lookUp: (
      charge: Pick<Charge, "key" | "amount">,
    ) => Effect.Effect<{ readonly _tag: "Charged" } | { readonly _tag: "NoCharge" }, NoAnswer | NotMade>
    readonly refund: (refund: Refund) => Effect.Effect<void, NoAnswer | NotMade>
  }
>()("payment/PaymentProvider") {}
