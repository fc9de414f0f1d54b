import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../../runtime/sql/Database.ts"
import { type NewStock, type Product, StockBelowReserved } from "./contract/api.ts"
import type { Entry, Stock } from "./Hold.ts"

interface Row {
  readonly product_id: string
  readonly product_name: string
  readonly stock: bigint
  readonly reserved: bigint
}

const stockOf = ({ product_id, stock, reserved }: Row): Stock => ({
  product_id,
  stock: Number(stock),
  reserved: Number(reserved),
})

const productOf = (row: Row): Product => {
  const { product_id, stock, reserved } = stockOf(row)
  return { product_id, product_name: row.product_name, stock, reserved, available: stock - reserved }
}

/** The tables of products and of the stock ledger. */
export class ProductStore extends Context.Service<ProductStore>()("inventory/ProductStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database

    const find = (product_id: string) =>
      Effect.map(
        Effect.orDie(sql<Row>`
          select product_id, product_name, stock, reserved from products where product_id = ${product_id}`),
        ([row]) => (row === undefined ? null : productOf(row)),
      )

    const list = (after: string | undefined, limit: number) =>
      Effect.map(
        Effect.orDie(sql<Row>`
          select product_id, product_name, stock, reserved from products
          where product_id > ${after ?? ""} order by product_id limit ${limit}`),
        (rows) => rows.map(productOf),
      )

    /** Locks those of these products that exist, by id. */
    const lock = (ids: ReadonlyArray<string>) =>
      ids.length === 0
        ? Effect.succeed(new Map<string, Stock>())
        : Effect.map(
            Effect.orDie(sql<Row>`
              select product_id, product_name, stock, reserved from products
              where product_id in (select json_array_elements_text(${JSON.stringify(ids)}::json) collate "C")
              order by product_id for update`),
            (rows) => new Map(rows.map((row) => [row.product_id, stockOf(row)])),
          )

    const write = (entries: ReadonlyArray<Entry>) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => sql`
          insert into ledger (product_id, order_id, change, stock_change, reserved_change, at)
          select product_id, order_id, change, stock_change, reserved_change, ${new Date(now)}
          from json_to_recordset(${JSON.stringify(entries.map((entry, n) => ({ n, ...entry })))}::json)
            as x (n int, product_id text, order_id bigint, change text, stock_change bigint, reserved_change bigint)
          order by n`,
      ).pipe(Effect.orDie, Effect.asVoid)

    /** Saves locked products and their ledger rows. */
    const save = (products: ReadonlyArray<Stock>, entries: ReadonlyArray<Entry>) =>
      products.length === 0
        ? Effect.void
        : Effect.andThen(
            Effect.orDie(sql`
              update products p set stock = x.stock, reserved = x.reserved
              from json_to_recordset(${JSON.stringify(products)}::json)
                as x (product_id text, stock bigint, reserved bigint)
              where p.product_id = x.product_id collate "C"`),
            write(entries),
          )

    /** Inserts the product unless it exists; returns whether it was inserted. */
    const make = (product_id: string, product_name: string) =>
      Effect.map(
        Effect.orDie(sql`
          insert into products (product_id, product_name, stock) values (${product_id}, ${product_name}, 0)
          on conflict do nothing returning 1`),
        (rows) => rows.length > 0,
      )

    const rename = (product_id: string, product_name: string) =>
      Effect.orDie(sql`update products set product_name = ${product_name} where product_id = ${product_id}`)

    /** Sets the stock; held units stay held. */
    const set = (product_id: string, { product_name, stock }: typeof NewStock.Type) =>
      database.transaction(
        Effect.gen(function* () {
          const isNew = yield* make(product_id, product_name)
          const before = (yield* lock([product_id])).get(product_id)!
          const { reserved } = before
          if (stock < reserved) return yield* new StockBelowReserved({ product_id, reserved })
          if (!isNew) yield* rename(product_id, product_name)
          const stock_change = stock - before.stock
          const entry = { product_id, order_id: null, change: "put", stock_change, reserved_change: 0 } as const
          yield* save([{ ...before, stock }], [entry])
          return { isNew, product: { product_id, product_name, stock, reserved, available: stock - reserved } }
        }),
      )

    return { find, list, lock, save, set }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
