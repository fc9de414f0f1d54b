import { Clock, Context, Duration, Effect, Exit, Layer, Schema } from "effect"
import { Persistable, PersistedCache } from "effect/persistence"
import { Product } from "./contract/api.ts"
import { ProductStore } from "./ProductStore.ts"

/** A product, and the time (ms) at which it was read from the database. */
const Reading = Schema.Struct({ product: Schema.NullOr(Product), read_at: Schema.Int })

class ReadProduct extends Persistable.Class<{ payload: { readonly product_id: string } }>()("ReadProduct", {
  primaryKey: ({ product_id }) => product_id,
  success: Reading,
}) {}

/** Maximum age of an answer, in milliseconds; each of the two caches keeps it for a part of this. */
const oldestMillis = 500
const sharedMillis = 300
const inMemoryMillis = 200

/**
 * Products, at most half a second old, from this process's memory, from the shared cache, or from the database. No decision
 * and no transaction uses it. When it fails, the database answers.
 */
export class ProductCache extends Context.Service<ProductCache>()("inventory/ProductCache", {
  make: Effect.gen(function* () {
    const store = yield* ProductStore
    /** When this process last changed a product, for recently changed products only. */
    const changed = new Map<string, number>()

    const read = Effect.fnUntraced(function* (product_id: string) {
      const read_at = yield* Clock.currentTimeMillis
      return { product: yield* store.find(product_id), read_at }
    })

    /** Failures are not cached, nor are missing products: there is no limit to their number. */
    const keptFor = (millis: number) => (exit: Exit.Exit<typeof Reading.Type>) =>
      Duration.millis(Exit.isSuccess(exit) && exit.value.product !== null ? millis : 0)

    const cache = yield* PersistedCache.make(({ product_id }: ReadProduct) => read(product_id), {
      storeId: "galleria.inventory.product",
      timeToLive: keptFor(sharedMillis),
      inMemoryTTL: keptFor(inMemoryMillis),
    })

    /** Rejects entries from a cache server that was frozen, and entries older than this process's own writes. */
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

    /** Call this after a change has committed. */
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
