import { Context, Effect, Layer, Schedule } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Deliveries } from "../../runtime/module/Deliveries.ts"
import type { Event } from "../../runtime/events/Event.ts"
import { heldKey } from "../../runtime/module/Reaction.ts"
import { again, done, type Ended, type Item, type Next } from "../../runtime/module/Task.ts"
import { OrderCancelled, type OrderCreated } from "../order/contract/events.ts"
import { PaymentFailed, PaymentRefunded, PaymentSuccessful } from "../payment/contract/events.ts"
import { type NewStock, ProductNotFound } from "./contract/api.ts"
import { type News, sumOfLines } from "./Hold.ts"
import { type Change, HoldStore } from "./HoldStore.ts"
import { ProductCache } from "./ProductCache.ts"
import { ProductStore } from "./ProductStore.ts"

type Created = Event<typeof OrderCreated.data.Type>

/** An expired hold. */
interface Overdue {
  readonly order_id: number
  readonly user_id: number
}

/** Events that may end a hold before it expires. */
const endings = [PaymentSuccessful, PaymentFailed, PaymentRefunded, OrderCancelled]

type Ends = Effect.Success<ReturnType<Deliveries["Service"]["ends"]>>

/** How long to wait for the module to catch up before the task is retried later. */
const catchUp = Schedule.spaced("100 millis").pipe(Schedule.upTo({ duration: "1 second" }))

/** The use cases of the inventory. */
export class Inventory extends Context.Service<Inventory>()("inventory/Inventory", {
  make: Effect.gen(function* () {
    const products = yield* ProductStore
    const holds = yield* HoldStore
    const cache = yield* ProductCache
    const deliveries = yield* Deliveries

    const get = Effect.fnUntraced(function* (product_id: string) {
      const product = yield* cache.get(product_id)
      return product ?? (yield* new ProductNotFound({ product_id }))
    })

    const list = Effect.fn("Inventory.list")(products.list)

    /** Sets the stock of a new or existing product; fails with `StockBelowReserved` when more units are held. */
    const set = Effect.fn("Inventory.set")(function* (product_id: string, stock: typeof NewStock.Type) {
      const result = yield* products.set(product_id, stock)
      yield* cache.forget(product_id)
      return result
    })

    /** Holds or takes the stock that orders need, all lines or none. Orders without the step `inventory` are ignored. */
    const hold = Effect.fn("Inventory.hold")((orders: NonEmptyReadonlyArray<Created>) => {
      const ours = orders.filter(({ data }) => data.steps.includes("inventory"))
      return learnAll(
        ours.map(({ data: { order_id, user_id, items, steps } }) => ({
          order_id,
          user_id,
          news: { _tag: "Created", lines: sumOfLines(items), needsPayment: steps.includes("payment") },
        })),
      )
    })

    /** Applies payment and cancellation events of orders. */
    const learn = Effect.fn("Inventory.learn")(
      (orders: ReadonlyArray<{ readonly order_id: number; readonly user_id: number }>, news: News) =>
        learnAll(orders.map(({ order_id, user_id }) => ({ order_id, user_id, news }))),
    )

    const learnAll = (changes: ReadonlyArray<Change>) => (changes.length === 0 ? Effect.void : holds.update(changes))

    /** Which of the holds are still held. A hold that has ended is never held again, so this needs no lock. */
    const overdue = Effect.fn("Inventory.overdue")(function* (items: NonEmptyReadonlyArray<Item>) {
      const users = yield* holds.held(items.map(({ id }) => Number(id)))
      return items.map(({ id }): Overdue | undefined => {
        const user_id = users.get(Number(id))
        return user_id === undefined ? undefined : { order_id: Number(id), user_id }
      })
    })

    /**
     * The current ends of the topics whose events may end the hold, after giving the module time to catch up with them.
     * Reads from the event log.
     */
    const endsOf = Effect.fn("Inventory.endsOf")(function* ({ order_id, user_id }: Overdue) {
      const ends = yield* deliveries.ends(endings, String(user_id))
      const isCaughtUp = deliveries.caughtUp(ends, heldKey("order_id", order_id))
      yield* Effect.repeat(isCaughtUp, { until: (caughtUp) => caughtUp, schedule: catchUp })
      return ends
    })

    /**
     * Expires holds that are still held and for which no event is under way. The lock of the hold makes expiry and payment
     * exclude each other. When it is unknown whether events are under way, the hold stays, and the task runs again.
     */
    const expire = Effect.fn("Inventory.expire")(function* (results: NonEmptyReadonlyArray<Ended<Overdue, Ends>>) {
      const held = yield* holds.lockHeld(results.map(({ call }) => call.order_id))
      const expired: Array<Change> = []
      const nexts: Array<Next> = []
      for (const { call, result } of results) {
        const { order_id } = call
        const isOver = !held.has(order_id)
        const mayExpire =
          !isOver &&
          result._tag === "Answered" &&
          (yield* deliveries.caughtUp(result.answer, heldKey("order_id", order_id)))
        if (mayExpire) expired.push({ ...call, news: { _tag: "Expired" } })
        nexts.push(isOver || mayExpire ? done : again)
      }
      yield* learnAll(expired)
      return nexts
    })

    return { get, list, set, hold, learn, overdue, endsOf, expire }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(
    Layer.provide([ProductCache.layer, HoldStore.layer]),
    Layer.provide(ProductStore.layer),
  )
}
