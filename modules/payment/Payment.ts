import { type Fact, fact } from "../../runtime/events/Event.ts"
import type { Money } from "../Money.ts"
import type { Step } from "../order/contract/events.ts"
import type { PaymentStatus } from "./contract/api.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "./contract/events.ts"

/** The payment of one order as its rules see it. */
export interface Payment {
  readonly order_id: number
  /** Assigned once its `order_created` is known. */
  readonly id: number | undefined
  /** `none`: only other facts about the order are known so far. */
  readonly status: PaymentStatus | "none"
  /** Why it failed or was refunded. */
  readonly reason: string | undefined
  /** What is charged; undefined while the status is `none`. */
  readonly terms: Terms | undefined
  /** The order may be charged. */
  readonly go: boolean
  /** Why the order must not be charged, or is refunded; undefined: nothing speaks against it. */
  readonly stop: string | undefined
  /**
   * What is known of the calls that charge: `no` call is without an answer, one is `out`, one was made and its effect is
   * `unknown`, or the order was `charged`. Once a call is unknown, only a charge that is found settles it.
   */
  readonly call: "no" | "out" | "unknown" | "charged"
  /** Since when it may be charged (ms). */
  readonly chargeable_at: number | undefined
  readonly failed_at: number | undefined
}

/** What an order says about its payment. */
export interface Terms {
  readonly user_id: number
  readonly amount: Money
  readonly payment_method: string
  /** The provider's idempotency key: the id of the event `order_created`. */
  readonly key: string
}

/** What becomes of a payment; the same payment object when nothing changed. */
export interface Decision {
  readonly payment: Payment
  readonly facts: ReadonlyArray<Fact>
  /** Something is now to be done at the provider. */
  readonly task?: "charge" | "refund"
}

/** A call of the task `payment.charge`. */
export interface ChargeCall {
  /** `Charge`; or `LookUp`: ask for the charge by its key, and charge if there is none and `charges`. */
  readonly _tag: "Charge" | "LookUp"
  readonly charges: boolean
  readonly order_id: number
  readonly terms: Terms
}

/** What the provider answered to it. */
export type ChargeAnswer =
  | { readonly _tag: "Charged" }
  | { readonly _tag: "Declined"; readonly reason: string }
  | { readonly _tag: "NoCharge" }

/** How a call ended: without an answer it certainly was not made, or that is unknown. */
export type ChargeResult = ChargeAnswer | { readonly _tag: "NotMade" } | { readonly _tag: "Unknown" }

/** A payment of which nothing is known. */
export const none = (order_id: number): Payment => ({
  order_id,
  id: undefined,
  status: "none",
  reason: undefined,
  terms: undefined,
  go: false,
  stop: undefined,
  call: "no",
  chargeable_at: undefined,
  failed_at: undefined,
})

/** A failed payment with an unknown call is looked up for this long. */
export const lookUpMillis = 24 * 60 * 60 * 1_000

/** The reason of a payment whose provider did not answer in time. */
export const unavailable = "provider_unavailable"

const same = (payment: Payment): Decision => ({ payment, facts: [] })

const dataOf = ({ id, order_id, terms }: Payment) => ({
  payment_id: id!,
  order_id,
  user_id: terms!.user_id,
  amount: terms!.amount,
})

const failed = (payment: Payment, reason: string, now: number): Payment => ({
  ...payment,
  status: "failed",
  reason,
  failed_at: now,
})

/** Failed without an event: the order has ended already, and its customer was not declined. */
const failedWithoutEvent = (payment: Payment, reason: string, now: number): Decision =>
  same(failed(payment, reason, now))

const failedWithEvent = (payment: Payment, reason: string, now: number): Decision => ({
  payment: failed(payment, reason, now),
  facts: [fact(PaymentFailed, { ...dataOf(payment), reason })],
})

const gaveUp = (payment: Payment, now: number): Decision =>
  payment.stop === undefined
    ? failedWithEvent(payment, unavailable, now)
    : failedWithoutEvent(payment, unavailable, now)

const chargeable = (payment: Payment, now: number): Decision =>
  payment.go ? { payment: { ...payment, chargeable_at: now }, facts: [], task: "charge" } : same(payment)

/** `order_created`, of an order that names payment as a step. Where inventory is no step, it may be charged at once. */
export const open = (
  payment: Payment,
  { steps, ...terms }: Terms & { readonly steps: ReadonlyArray<Step> },
  now: number,
): Decision => {
  if (payment.status !== "none") return same(payment)
  const opened = { ...payment, terms, go: payment.go || !steps.includes("inventory") }
  return payment.stop === undefined
    ? chargeable({ ...opened, status: "pending" }, now)
    : failedWithoutEvent(opened, payment.stop, now)
}

/** The stock of the order is held: it may be charged. */
export const go = (payment: Payment, now: number): Decision => {
  if (payment.go) return same(payment)
  if (payment.status === "none") return same({ ...payment, go: true })
  return payment.status === "pending" ? chargeable({ ...payment, go: true }, now) : same(payment)
}

/** The order came to nothing: it is not charged any more, or refunded. */
export const stop = (payment: Payment, reason: string, now: number): Decision => {
  if (payment.stop !== undefined || payment.status === "failed" || payment.status === "refunded") return same(payment)
  const stopped = { ...payment, stop: reason }
  if (payment.status === "successful") return { payment: stopped, facts: [], task: "refund" }
  // While a call is out or unknown its answer decides.
  return payment.status === "pending" && payment.call === "no"
    ? failedWithoutEvent(stopped, reason, now)
    : same(stopped)
}

const isUnanswered = ({ call }: Payment) => call === "out" || call === "unknown"

const isOverdue = (payment: Payment, giveUpMillis: number, now: number) =>
  now >= (payment.chargeable_at ?? now) + giveUpMillis

/** What to call for a payment whose task is due, undefined: nothing. The call is marked in the payment. */
export const begin = (
  payment: Payment,
  giveUpMillis: number,
  now: number,
): Decision & { readonly call?: ChargeCall } => {
  const { order_id, status, terms } = payment
  const isOpen = status === "pending" && payment.go
  if (terms === undefined || !(isOpen || (status === "failed" && isUnanswered(payment)))) return same(payment)
  const charges = isOpen && payment.stop === undefined && !isOverdue(payment, giveUpMillis, now)
  if (isUnanswered(payment)) {
    const marked = { ...payment, call: charges ? ("out" as const) : ("unknown" as const) }
    return { ...same(marked), call: { _tag: "LookUp", charges, order_id, terms } }
  }
  if (!charges) return gaveUp(payment, now)
  return { ...same({ ...payment, call: "out" }), call: { _tag: "Charge", charges, order_id, terms } }
}

/** What becomes of a payment by the end of a call. */
export const end = (
  payment: Payment,
  { _tag }: Pick<ChargeCall, "_tag">,
  result: ChargeResult,
  giveUpMillis: number,
  now: number,
): Decision => {
  // Before a look-up there was an unknown call, and only a charge that is found settles that one.
  const before = _tag === "LookUp" ? "unknown" : "no"
  if (payment.status === "failed") {
    return result._tag === "Charged"
      ? { payment: { ...payment, call: "charged" }, facts: [], task: "refund" }
      : same({ ...payment, call: before })
  }
  if (payment.status !== "pending") return same(payment)
  switch (result._tag) {
    case "Charged":
      return charged(payment)
    case "Declined":
      return failedWithEvent({ ...payment, call: before }, result.reason, now)
    case "NoCharge":
    case "NotMade":
    case "Unknown":
      return unpaid({ ...payment, call: result._tag === "Unknown" ? "unknown" : before }, result, giveUpMillis, now)
  }
}

const charged = (payment: Payment): Decision => ({
  payment: { ...payment, status: "successful", call: "charged" },
  facts: [fact(PaymentSuccessful, dataOf(payment))],
  ...(payment.stop === undefined ? {} : { task: "refund" }),
})

/** Still pending after a call, unless it was stopped and is not charged, or it takes too long. */
const unpaid = (payment: Payment, result: ChargeResult, giveUpMillis: number, now: number): Decision => {
  const isUncharged = result._tag === "NoCharge" || payment.call === "no"
  if (payment.stop !== undefined && isUncharged) return failedWithoutEvent(payment, payment.stop, now)
  return isOverdue(payment, giveUpMillis, now) ? gaveUp(payment, now) : same(payment)
}

/** Whether a charge is to be given back, and what for. */
export const refundOf = (payment: Payment): { readonly reason: string } | undefined => {
  const reason = payment.stop ?? payment.reason
  const isKept = payment.call === "charged" && payment.status !== "refunded"
  return isKept && reason !== undefined ? { reason } : undefined
}

/** The money was given back. */
export const refunded = (payment: Payment): Decision => {
  const refund = refundOf(payment)
  if (refund === undefined) return same(payment)
  return {
    payment: { ...payment, status: "refunded", reason: refund.reason },
    facts: [fact(PaymentRefunded, { ...dataOf(payment), reason: refund.reason })],
  }
}

const second = 1_000

/**
 * How long (ms) until the task `payment.charge` calls again; undefined: it is done. A payment waits `after`, else as long
 * as it has taken so far, within bounds; but not beyond the moment when it is given up, or not looked up any more.
 */
export const waitOf = (payment: Payment, giveUpMillis: number, now: number, after?: number): number | undefined => {
  const since = now - (payment.chargeable_at ?? now)
  const within = (least: number, most: number, until: number) =>
    Math.max(0, Math.min(after ?? Math.min(Math.max(since, least), most), until - now))
  if (payment.status === "pending") return within(second / 2, 60 * second, now - since + giveUpMillis)
  if (payment.status !== "failed" || !isUnanswered(payment)) return undefined
  const until = (payment.failed_at ?? now) + lookUpMillis
  return now >= until ? undefined : within(second, 3_600 * second, until)
}
