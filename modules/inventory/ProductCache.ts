import { Clock, Context, Duration, Effect, Exit, Layer, Schema } from "effect"
import { Persistable, PersistedCache } from "effect/persistence"
import { Product } from "./contract/api.ts"
import { ProductStore } from "./ProductStore.ts"

/** A product as it was read from the database at a moment (ms). */
const Reading = Schema.Struct({ product: Schema.NullOr(Product), read_at: Schema.Int })

class ReadProduct extends Persistable.Class<{ payload: { readonly product_id: string } }>()("ReadProduct", {
  primaryKey: ({ product_id }) => product_id,
  success: Reading,
}) {}

/** Answers are older than this at no time, in milliseconds, and stay in either place for a part of it. */
const oldestMillis = 500
const sharedMillis = 300
const inMemoryMillis = 200

/**
 * Products as they were at most half a second ago, from this process's memory, from what instances share, or from the
 * database. Nothing is decided by it, no transaction asks it, and where it fails the database answers.
 */
export class ProductCache extends Context.Service<ProductCache>()("inventory/ProductCache", {
  make: Effect.gen(function* () {
    const store = yield* ProductStore
    /** When this process last changed a product, of those that it did change a moment ago. */
    const changed = new Map<string, number>()

    const read = Effect.fnUntraced(function* (product_id: string) {
      const read_at = yield* Clock.currentTimeMillis
      return { product: yield* store.find(product_id), read_at }
    })

    /** What failed is not kept, nor that there is no such product: of those there is no end. */
    const keptFor = (millis: number) => (exit: Exit.Exit<typeof Reading.Type>) =>
      Duration.millis(Exit.isSuccess(exit) && exit.value.product !== null ? millis : 0)

    const cache = yield* PersistedCache.make(({ product_id }: ReadProduct) => read(product_id), {
      storeId: "galleria.inventory.product",
      timeToLive: keptFor(sharedMillis),
      inMemoryTTL: keptFor(inMemoryMillis),
    })

    /** A server that was frozen hands out what is long out of date; and a reader sees its own writes. */
    const isFresh = ({ read_at }: typeof Reading.Type, product_id: string) =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) => read_at > now - oldestMillis && read_at > (changed.get(product_id) ?? 0),
      )

    const get = Effect.fnUntraced(function* (product_id: string) {
      const cached = yield* Effect.catch(cache.get(new ReadProduct({ product_id })), () => Effect.undefined)
      if (cached !== undefined && (yield* isFresh(cached, product_id))) return cached.product
      return (yield* read(product_id)).product
    })

    /** To be said after a change has committed. */
    const forget = Effect.fnUntraced(function* (product_id: string) {
      const now = yield* Clock.currentTimeMillis
      for (const [id, at] of changed) if (at < now - oldestMillis) changed.delete(id)
      changed.set(product_id, now)
      yield* Effect.ignore(cache.invalidate(new ReadProduct({ product_id })))
    })

    return { get, forget }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
