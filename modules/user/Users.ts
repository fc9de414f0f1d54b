import { Context, Effect, Layer } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Event } from "../../runtime/events/Event.ts"
import { type Claim, KeyTaken } from "../../runtime/http/Idempotency.ts"
import { format } from "../Money.ts"
import type { OrderCancelled, OrderCreated } from "../order/contract/events.ts"
import { EmailTaken, type NewUser, type User, UserNotFound, type UserOrderStatus } from "./contract/api.ts"
import { UserOrderStore } from "./UserOrderStore.ts"
import { UserStore } from "./UserStore.ts"

type Placed = Event<typeof OrderCreated.data.Type>
type Ended = Event<typeof OrderCancelled.data.Type>

/** The use cases of users. */
export class Users extends Context.Service<Users>()("user/Users", {
  make: Effect.gen(function* () {
    const store = yield* UserStore
    const orders = yield* UserOrderStore

    /** Creates a user; fails with `EmailTaken`, or with `KeyTaken` when the idempotency key was used before. */
    const create = Effect.fnUntraced(function* (user: typeof NewUser.Type, claim: Claim<User>) {
      const created = yield* store.create(user, claim)
      if (created._tag === "KeyTaken") return yield* new KeyTaken()
      return created._tag === "Created" ? created.answered : yield* new EmailTaken({})
    })

    const get = Effect.fnUntraced(function* (id: number) {
      const user = yield* store.find(id)
      return user ?? (yield* new UserNotFound({ user_id: id }))
    })

    const list = Effect.fn("Users.list")(store.newest)

    const ordersOf = Effect.fn("Users.ordersOf")(function* (id: number, before: string | undefined, limit: number) {
      yield* get(id)
      return yield* orders.newest(id, before, limit)
    })

    const summaryOf = Effect.fn("Users.summaryOf")(function* (id: number) {
      yield* get(id)
      return yield* orders.summary(id)
    })

    /** Records orders, and publishes the changed summaries, once for each user. */
    const recordOrders = Effect.fn("Users.recordOrders")((placed: NonEmptyReadonlyArray<Placed>) =>
      orders.place(
        placed.map(({ data, time }) => ({
          ...data,
          amount: format(data.amount),
          created_at: data.created_at ?? time,
        })),
      ),
    )

    const recordEndings = Effect.fn("Users.recordEndings")(
      (status: Exclude<UserOrderStatus, "created">, ended: NonEmptyReadonlyArray<Ended>) =>
        orders.end(ended.map(({ data }) => ({ ...data, status, amount: format(data.amount) }))),
    )

    /** Undo a part of `recordOrders` and `recordEndings`, and return whether there may be more. */
    const forgetOrders = Effect.fn("Users.forgetOrders")(() => orders.unplaceSome)
    const forgetEndings = Effect.fn("Users.forgetEndings")(orders.unendSome)

    return { create, get, list, ordersOf, summaryOf, recordOrders, recordEndings, forgetOrders, forgetEndings }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(Layer.provide([UserStore.layer, UserOrderStore.layer]))
}
