import { Clock, Context, Duration, Effect, Layer } from "effect"
import { again, againAfter, done, type Ended, type Item, type Next } from "../../runtime/module/Task.ts"
import type { Step } from "../order/contract/events.ts"
import { PaymentNotFound } from "./contract/api.ts"
import * as Payment from "./Payment.ts"
import type { Refund } from "./PaymentProvider.ts"
import { PaymentStore } from "./PaymentStore.ts"
import { settings } from "./settings.ts"

/** The payment data of an order. */
export interface NewPayment extends Payment.Terms {
  readonly order_id: number
  readonly steps: ReadonlyArray<Step>
}

/** Why an order must not be charged. */
export interface Stop {
  readonly order_id: number
  readonly reason: string
}

/** The use cases of payments. */
export class Payments extends Context.Service<Payments>()("payment/Payments", {
  make: Effect.gen(function* () {
    const store = yield* PaymentStore
    const giveUpMillis = (yield* Effect.orDie(settings.PAYMENT_GIVE_UP_MINUTES)) * 60_000

    const get = Effect.fnUntraced(function* (id: number) {
      const payment = yield* store.find(id)
      return payment ?? (yield* new PaymentNotFound({ payment_id: id }))
    })

    const list = Effect.fn("Payments.list")(store.newest)

    /** Opens payments of new orders; an order without the step payment has none. */
    const open = Effect.fn("Payments.open")((orders: ReadonlyArray<NewPayment>) =>
      store.learn(
        orders
          .filter(({ steps }) => steps.includes("payment"))
          .map(({ order_id, ...terms }) => ({
            order_id,
            decide: (payment, now) => Payment.open(payment, terms, now),
          })),
      ),
    )

    /** Allows charging orders whose stock is held. */
    const go = Effect.fn("Payments.go")((orders: ReadonlyArray<number>) =>
      store.learn(orders.map((order_id) => ({ order_id, decide: Payment.go }))),
    )

    /** Prevents orders from being charged, or has them refunded. */
    const stop = Effect.fn("Payments.stop")((stops: ReadonlyArray<Stop>) =>
      store.learn(
        stops.map(({ order_id, reason }) => ({
          order_id,
          decide: (payment, now) => Payment.stop(payment, reason, now),
        })),
      ),
    )

    /** The calls to make for these orders, in their order, each marked in its payment; undefined where there is none. */
    const beginCharges = Effect.fn("Payments.beginCharges")(function* (items: ReadonlyArray<Item>) {
      const decisions = yield* store.update(
        items.map(({ id }) => ({
          order_id: Number(id),
          decide: (payment, now) => Payment.begin(payment, giveUpMillis, now),
        })),
      )
      yield* warnOf(decisions)
      return decisions.map(({ call }) => call)
    })

    /** Records how calls ended, and returns when to call again. */
    const endCharges = Effect.fn("Payments.endCharges")(function* (
      ended: ReadonlyArray<Ended<Payment.ChargeCall, Payment.ChargeAnswer>>,
    ) {
      const decisions = yield* store.update(
        ended.map(({ id, call, result }) => ({
          order_id: Number(id),
          decide: (payment, now) =>
            Payment.end(payment, call, result._tag === "Answered" ? result.answer : result, giveUpMillis, now),
        })),
      )
      yield* warnOf(decisions)
      const now = yield* Clock.currentTimeMillis
      return decisions.map(({ payment }, n): Next => {
        const { result } = ended[n]!
        const after = result._tag === "NotMade" && result.after ? Duration.toMillis(result.after) : undefined
        const wait = Payment.waitOf(payment, giveUpMillis, now, after)
        return wait === undefined ? done : againAfter(wait)
      })
    })

    /** The refunds to make for these orders, in their order; undefined where there is none. */
    const beginRefunds = Effect.fn("Payments.beginRefunds")(function* (items: ReadonlyArray<Item>) {
      const decisions = yield* store.update(
        items.map(({ id }) => ({ order_id: Number(id), decide: (payment) => ({ payment, facts: [] }) })),
      )
      return decisions.map(({ payment }): Refund | undefined => {
        const { terms } = payment
        if (terms === undefined || Payment.refundOf(payment) === undefined) return undefined
        return { key: `${terms.key}-refund`, charge_key: terms.key, amount: terms.amount }
      })
    })

    /** Records how refunds ended. A refund without an answer is repeated. */
    const endRefunds = Effect.fn("Payments.endRefunds")(function* (ended: ReadonlyArray<Ended<Refund, void>>) {
      yield* store.update(
        ended.flatMap(({ id, result }) =>
          result._tag === "Answered" ? [{ order_id: Number(id), decide: Payment.refunded }] : [],
        ),
      )
      return yield* Effect.forEach(ended, ({ id, result }) => {
        if (result._tag === "Answered") return Effect.succeed(done)
        if (result._tag === "NotMade") return Effect.succeed(result.after ? againAfter(result.after) : again)
        return Effect.as(Effect.logWarning(`[PaymentService] A refund was not answered: ${idsOf(Number(id))}`), again)
      })
    })

    return { get, list, open, go, stop, beginCharges, endCharges, beginRefunds, endRefunds }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(Layer.provide(PaymentStore.layer))
}

const idsOf = (order_id: number) => JSON.stringify({ order_id })

/** Logs decisions that an operator may want to investigate. */
const warnOf = (decisions: ReadonlyArray<Payment.Decision>) =>
  Effect.forEach(
    decisions,
    ({ payment, facts, task }) => {
      const ids = idsOf(payment.order_id)
      if (payment.status === "failed" && task === "refund") {
        return Effect.logWarning(`[PaymentService] A failed payment was charged after all, and is refunded: ${ids}`)
      }
      return facts.length > 0 && payment.reason === Payment.unavailable
        ? Effect.logWarning(`[PaymentService] A payment failed because the provider does not answer: ${ids}`)
        : Effect.void
    },
    { discard: true },
  )
