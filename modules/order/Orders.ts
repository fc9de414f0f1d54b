import { Clock, Context, Deferred, Effect, Layer, Option, Semaphore } from "effect"
import { type Claim, KeyTaken } from "../../runtime/http/Idempotency.ts"
import { Unavailable } from "../../runtime/http/Problem.ts"
import { Reject } from "../../runtime/module/Reaction.ts"
import { Database } from "../../runtime/sql/Database.ts"
import { sumOfLines } from "../Money.ts"
import {
  type NewOrder,
  type Order as OrderView,
  OrderNotCancellable,
  OrderNotFound,
  UserUnknown,
} from "./contract/api.ts"
import type { OrderCreated } from "./contract/events.ts"
import { type AmountDiffers, cancel as decideToCancel, learn as decideUpon, type News } from "./Order.ts"
import { type Change, type Learned, OrderStore, type Placement } from "./OrderStore.ts"
import { settings, steps } from "./settings.ts"

type Created = Pick<typeof OrderCreated.data.Type, "order_id" | "steps">

const placementOf = ({ user_id, amount, items, payment_method }: NewOrder, steps: Placement["steps"]): Placement => {
  const lines = (items ?? []).map((item) => ({ product_name: item.product_id, ...item }))
  return { user_id, amount: amount ?? sumOfLines(lines), items: lines, payment_method, steps }
}

/** Changes orders for a reaction, which rejects an event of an order that is missing or has another amount. */
const applyTo = (store: OrderStore["Service"]) => (changes: ReadonlyArray<Change<AmountDiffers>>) =>
  Effect.catchTags(store.update(changes), {
    OrderNotFound: ({ order_id }) => new Reject({ reason: `there is no order ${order_id}` }),
    AmountDiffers: () => new Reject({ reason: "the amount is not the order's" }),
  })

/** The use cases of orders. */
export class Orders extends Context.Service<Orders>()("order/Orders", {
  make: Effect.gen(function* () {
    const store = yield* OrderStore
    const apply = applyTo(store)
    const userArrived = (yield* Database).bell("order.user-arrived")
    const userWaitMillis = yield* Effect.orDie(settings.USER_WAIT_MS)
    const waiters = yield* Semaphore.make(mostWaiters)
    const stepsOfNewOrders = yield* Effect.orDie(steps)

    /** Undefined when the user is unknown. */
    const attempt = Effect.fnUntraced(function* (order: NewOrder, claim: Claim<OrderView>) {
      const placed = yield* store.place(placementOf(order, stepsOfNewOrders), claim)
      if (placed._tag === "KeyTaken") return yield* new KeyTaken()
      return placed._tag === "Placed" ? placed.answered : undefined
    })

    /** Holds no connection while it waits. */
    const attemptUntilKnown = Effect.fnUntraced(function* (order: NewOrder, claim: Claim<OrderView>) {
      const until = (yield* Clock.monotonicTimeNanos) + BigInt(userWaitMillis) * 1_000_000n
      for (;;) {
        const arrival = yield* userArrived.next
        const answered = yield* attempt(order, claim)
        if (answered !== undefined) return answered
        const left = Number((until - (yield* Clock.monotonicTimeNanos)) / 1_000_000n)
        if (left <= 0) return yield* new UserUnknown({ user_id: order.user_id })
        yield* Effect.timeoutOption(Deferred.await(arrival), Math.min(left, pollMillis))
      }
    })

    /**
     * Places an order for a user that this module knows, or that becomes known within `USER_WAIT_MS`, so that an order right
     * after its user succeeds. While too many orders wait for their user, further ones are answered 503.
     */
    const place = Effect.fnUntraced(function* (order: NewOrder, claim: Claim<OrderView>) {
      const answered = yield* attempt(order, claim)
      if (answered !== undefined) return answered
      const waited = yield* waiters.withPermitsIfAvailable(1)(attemptUntilKnown(order, claim))
      return Option.isSome(waited) ? waited.value : yield* Effect.die(new Unavailable({}))
    })

    const get = Effect.fnUntraced(function* (id: number) {
      const order = yield* store.find(id)
      return order ?? (yield* new OrderNotFound({ order_id: id }))
    })

    const list = Effect.fn("Orders.list")(store.newest)

    /** Cancels an order that is neither processed nor failed; a second cancellation changes nothing. */
    const cancel = Effect.fn("Orders.cancel")(function* (id: number, reason: string | undefined) {
      yield* store
        .update([{ order_id: id, decide: (order) => decideToCancel(order, reason) }])
        .pipe(
          Effect.catchTag(
            "NotCancellable",
            ({ order_id, order_status }) => new OrderNotCancellable({ order_id, order_status }),
          ),
        )
      return yield* get(id)
    })

    const history = Effect.fn("Orders.history")(function* (id: number, after: string | undefined, limit: number) {
      yield* get(id)
      return yield* store.history(id, after, limit)
    })

    /**
     * Processes orders without steps, at their own `order_created`, which their history already contains. An order with
     * steps costs no statement and no lock. Orders of foreign producers are ignored.
     */
    const start = Effect.fn("Orders.start")(function* (created: ReadonlyArray<Created>) {
      const ready = created.filter(({ steps }) => steps.length === 0)
      if (ready.length === 0) return
      yield* apply(
        ready.map(({ order_id }) => ({
          order_id,
          decide: (order) => decideUpon(order, { _tag: "Created" }),
          passesOver: true,
        })),
      )
    })

    /** Applies events about orders from other modules; an event about an order that this module does not have is rejected. */
    const learn = Effect.fn("Orders.learn")((learned: ReadonlyArray<Learned & { order_id: number; news: News }>) =>
      apply(
        learned.map(({ order_id, news, ...learned }) => ({
          order_id,
          decide: (order) => decideUpon(order, news),
          learned,
        })),
      ),
    )

    /** Records users; orders that wait for one of them continue. */
    const recordUsers = Effect.fn("Orders.recordUsers")(function* (ids: ReadonlyArray<number>) {
      yield* store.knowUsers(ids)
      yield* userArrived.ring
    })

    return { place, get, list, cancel, history, start, learn, recordUsers }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(Layer.provide(OrderStore.layer))
}

/** Notifications between instances may be lost, so a waiting order checks again after this. */
const pollMillis = 100

/** Maximum number of orders that wait for their user; with more, other requests would be delayed. */
const mostWaiters = 256
