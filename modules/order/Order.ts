import { BigDecimal, Result } from "effect"
import { type Fact, fact } from "../../runtime/events/Event.ts"
import type { Money } from "../Money.ts"
import type { OrderStatus } from "./contract/api.ts"
import { OrderCancelled, OrderFailed, OrderProcessed, type Step } from "./contract/events.ts"

/** An order as its rules see it. */
export interface Order {
  readonly id: number
  readonly user_id: number
  readonly amount: Money
  readonly status: OrderStatus
  readonly reason: string | undefined
  /** What it needs before it is processed. */
  readonly steps: ReadonlyArray<Step>
  /** The steps that are done. */
  readonly done: ReadonlyArray<Step>
}

/** What the order learns from others, or from its own creation. */
export type News =
  | { readonly _tag: "Created" }
  | { readonly _tag: "Paid"; readonly amount: Money }
  | { readonly _tag: "Taken" }
  /** Stock was held or released: history, and nothing else. */
  | { readonly _tag: "Noted" }
  | { readonly _tag: "Refused"; readonly reason: string }

/** What becomes of the order and what is told; the same order object when nothing changed. */
export interface Decision {
  readonly order: Order
  readonly facts: ReadonlyArray<Fact>
}

/** The amount that was paid is not the order's. */
export interface AmountDiffers {
  readonly _tag: "AmountDiffers"
}

/** It is processed or failed. */
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

/** Processed once every step is done; until then paid or created. */
const proceed = (order: Order): Decision => {
  if (order.steps.every((step) => order.done.includes(step))) return end(order, "processed", OrderProcessed)
  return { order: { ...order, status: order.done.includes("payment") ? "paid" : "created" }, facts: [] }
}

const finish = (order: Order, step: Step): Decision =>
  order.done.includes(step) ? { order, facts: [] } : proceed({ ...order, done: [...order.done, step] })

/** The table of README.md, row by row; an ending absorbs everything later. */
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

/** Cancels an order that is not over; one that is cancelled stays as it is. */
export const cancel = (order: Order, reason?: string): Result.Result<Decision, NotCancellable> => {
  if (order.status === "cancelled") return Result.succeed({ order, facts: [] })
  if (isOver(order)) {
    return Result.fail({ _tag: "NotCancellable", order_id: order.id, order_status: order.status })
  }
  return Result.succeed(end(order, "cancelled", OrderCancelled, reason))
}
