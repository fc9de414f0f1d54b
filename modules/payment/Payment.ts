import { type Fact, fact } from "../../runtime/events/Event.ts"
import type { Money } from "../Money.ts"
import type { Step } from "../order/contract/events.ts"
import type { PaymentStatus } from "./contract/api.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "./contract/events.ts"

/** The payment of one order as the rules use it. */
export interface Payment {
  readonly order_id: number
  /** Assigned once `order_created` has arrived. */
  readonly id: number | undefined
  /** `none`: `order_created` has not arrived yet. */
  readonly status: PaymentStatus | "none"
  /** Why the payment failed or was refunded. */
  readonly reason: string | undefined
  /** What to charge; undefined while the status is `none`. */
  readonly terms: Terms | undefined
  /** The order may be charged. */
  readonly go: boolean
  /** Why the order must not be charged, or is refunded; undefined when there is no such reason. */
  readonly stop: string | undefined
  /**
   * The state of the calls that charge: `no` call is unanswered; one is `out`; one was made with an `unknown` result; or the
   * order was `charged`. Only a charge that is found settles an unknown call.
   */
  readonly call: "no" | "out" | "unknown" | "charged"
  /** Since when the order may be charged (ms). */
  readonly chargeable_at: number | undefined
  readonly failed_at: number | undefined
}

/** The payment data of an order. */
export interface Terms {
  readonly user_id: number
  readonly amount: Money
  readonly payment_method: string
  /** The provider's idempotency key: the id of the event `order_created`. */
  readonly key: string
}

/** The payment after the event; the same object when nothing changed. */
export interface Decision {
  readonly payment: Payment
  readonly facts: ReadonlyArray<Fact>
  /** The task to add, when the provider must now be called. */
  readonly task?: "charge" | "refund"
}

/** A call of the task `payment.charge`. */
export interface ChargeCall {
  /** `Charge`; or `LookUp`: look up the charge by its key and, with `charges`, charge if there is none. */
  readonly _tag: "Charge" | "LookUp"
  readonly charges: boolean
  readonly order_id: number
  readonly terms: Terms
}

/** The provider's answer to a call. */
export type ChargeAnswer =
  | { readonly _tag: "Charged" }
  | { readonly _tag: "Declined"; readonly reason: string }
  | { readonly _tag: "NoCharge" }

/** How a call ended. Without an answer it was either certainly not made, or its result is unknown. */
export type ChargeResult = ChargeAnswer | { readonly _tag: "NotMade" } | { readonly _tag: "Unknown" }

/** The payment of an order without any event yet. */
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

/** How long a failed payment with an unknown call is looked up. */
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

/** Fails without an event: the order has ended already, and the customer was not declined. */
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

/** Applies `order_created` of an order with the step payment. Without the step inventory it may be charged at once. */
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

/** Applies that the order's stock is held: it may be charged. */
export const go = (payment: Payment, now: number): Decision => {
  if (payment.go) return same(payment)
  if (payment.status === "none") return same({ ...payment, go: true })
  return payment.status === "pending" ? chargeable({ ...payment, go: true }, now) : same(payment)
}

/** Applies that the order failed or was cancelled: it is not charged any more, or is refunded. */
export const stop = (payment: Payment, reason: string, now: number): Decision => {
  if (payment.stop !== undefined || payment.status === "failed" || payment.status === "refunded") return same(payment)
  const stopped = { ...payment, stop: reason }
  if (payment.status === "successful") return { payment: stopped, facts: [], task: "refund" }
  // While a call is out or unknown, its answer decides.
  return payment.status === "pending" && payment.call === "no"
    ? failedWithoutEvent(stopped, reason, now)
    : same(stopped)
}

const isUnanswered = ({ call }: Payment) => call === "out" || call === "unknown"

const isOverdue = (payment: Payment, giveUpMillis: number, now: number) =>
  now >= (payment.chargeable_at ?? now) + giveUpMillis

/** The call to make for a payment whose task is due, marked in the payment; undefined when there is none. */
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

/** The payment after the end of a call. */
export const end = (
  payment: Payment,
  { _tag }: Pick<ChargeCall, "_tag">,
  result: ChargeResult,
  giveUpMillis: number,
  now: number,
): Decision => {
  // A look-up follows an unknown call, and only a charge that is found settles that call.
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

/** A payment that was not charged by a call: it stays pending unless it was stopped or has taken too long. */
const unpaid = (payment: Payment, result: ChargeResult, giveUpMillis: number, now: number): Decision => {
  const isUncharged = result._tag === "NoCharge" || payment.call === "no"
  if (payment.stop !== undefined && isUncharged) return failedWithoutEvent(payment, payment.stop, now)
  return isOverdue(payment, giveUpMillis, now) ? gaveUp(payment, now) : same(payment)
}

/** Whether to refund the charge, and the reason. */
export const refundOf = (payment: Payment): { readonly reason: string } | undefined => {
  const reason = payment.stop ?? payment.reason
  const isKept = payment.call === "charged" && payment.status !== "refunded"
  return isKept && reason !== undefined ? { reason } : undefined
}

/** Applies that the charge was refunded. */
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
 * The wait (ms) before the task `payment.charge` calls again; undefined when it is done. The wait is `after`, or else the
 * time since the order may be charged, within limits; it ends at the latest when the payment is given up, or when look-ups
 * end.
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
