import { BigDecimal, Result } from "effect"
import { type Fact, fact } from "../../runtime/events/Event.ts"
import type { Money } from "../Money.ts"
import type { OrderStatus } from "./contract/api.ts"
import { OrderCancelled, OrderFailed, OrderProcessed, type Step } from "./contract/events.ts"

/** An order as the rules use it. */
export interface Order {
  readonly id: number
  readonly user_id: number
  readonly amount: Money
  readonly status: OrderStatus
  readonly reason: string | undefined
  /** The steps that the order needs before it is processed. */
  readonly steps: ReadonlyArray<Step>
  /** The steps that are done. */
  readonly done: ReadonlyArray<Step>
}

/** An event about the order, from another module or its own creation. */
export type News =
  | { readonly _tag: "Created" }
  | { readonly _tag: "Paid"; readonly amount: Money }
  | { readonly _tag: "Taken" }
  /** Stock was held or released: recorded in the history, without effect. */
  | { readonly _tag: "Noted" }
  | { readonly _tag: "Refused"; readonly reason: string }

/** The order after the event, and the events to publish; the same order object when nothing changed. */
export interface Decision {
  readonly order: Order
  readonly facts: ReadonlyArray<Fact>
}

/** The paid amount differs from the order's amount. */
export interface AmountDiffers {
  readonly _tag: "AmountDiffers"
}

/** The order is processed or failed. */
export interface NotCancellable {
  readonly _tag: "NotCancellable"
  readonly order_id: number
  readonly order_status: OrderStatus
}

const isOver = ({ status }: Order) => status === "processed" || status === "failed" || status === "cancelled"

const end = (
  order: Order,
  status: OrderStatus,
  event: typeof OrderProcessed | typeof OrderFailed | typeof OrderCancelled,
  reason?: string,
): Decision => {
  const { id: order_id, user_id, amount } = order
  return {
    order: { ...order, status, reason },
    facts: [fact(event, { order_id, user_id, amount, ...(reason === undefined ? {} : { reason }) })],
  }
}

/** Processes the order once every step is done; until then it is paid or created. */
const proceed = (order: Order): Decision => {
  if (order.steps.every((step) => order.done.includes(step))) return end(order, "processed", OrderProcessed)
  return { order: { ...order, status: order.done.includes("payment") ? "paid" : "created" }, facts: [] }
}

const finish = (order: Order, step: Step): Decision =>
  order.done.includes(step) ? { order, facts: [] } : proceed({ ...order, done: [...order.done, step] })

/** Implements the table in README.md, row by row. An order that has ended ignores later events. */
export const learn = (order: Order, news: News): Result.Result<Decision, AmountDiffers> => {
  const unchanged = { order, facts: [] }
  if (news._tag === "Paid" && !BigDecimal.equals(news.amount, order.amount)) {
    return Result.fail({ _tag: "AmountDiffers" })
  }
  if (isOver(order)) return Result.succeed(unchanged)
  switch (news._tag) {
    case "Created":
      return Result.succeed(order.steps.length === 0 ? proceed(order) : unchanged)
    case "Paid":
      return Result.succeed(finish(order, "payment"))
    case "Taken":
      return Result.succeed(finish(order, "inventory"))
    case "Refused":
      return Result.succeed(end(order, "failed", OrderFailed, news.reason))
    case "Noted":
      return Result.succeed(unchanged)
  }
}

/** Cancels an order that has not ended; a cancelled order is unchanged. */
export const cancel = (order: Order, reason?: string): Result.Result<Decision, NotCancellable> => {
  if (order.status === "cancelled") return Result.succeed({ order, facts: [] })
  if (isOver(order)) {
    return Result.fail({ _tag: "NotCancellable", order_id: order.id, order_status: order.status })
  }
  return Result.succeed(end(order, "cancelled", OrderCancelled, reason))
}
