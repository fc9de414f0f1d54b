import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { mostFound } from "../../runtime/module/Audit.ts"

/** How much one statement reads at most, so that it takes some tens of milliseconds however large the tables are. */
const atOnce = { ledgerRows: 20_000, orders: 10_000, products: 500 }

/** The greatest id of an order that the database can have. */
const mostId = 9_223_372_036_854_775_807n

/** Units of a product by its ledger: put in, taken by orders, reserved, and reserved for orders. */
interface Moved {
  readonly put: number
  readonly taken: number
  readonly reserved: number
  readonly for_orders: number
}

const nothing: Moved = { put: 0, taken: 0, reserved: 0, for_orders: 0 }

const sumOf = (one: Moved, other: Moved): Moved => ({
  put: one.put + other.put,
  taken: one.taken + other.taken,
  reserved: one.reserved + other.reserved,
  for_orders: one.for_orders + other.for_orders,
})

/** The units of a product on its shelf, by its ledger, and in open holds. */
export interface Balance extends Omit<Moved, "for_orders"> {
  readonly product_id: string
  readonly stock: number
  readonly by_shelf: number
  readonly held: number
}

const isRight = ({ stock, by_shelf, put, taken, reserved, held }: Balance) =>
  stock + taken === put && by_shelf === reserved && by_shelf === held

const statements = (sql: SqlClient.SqlClient, { ledgerRows, orders, products }: typeof atOnce) => {
  const sums = sql.literal(`
    coalesce(sum(stock_change) filter (where change = 'put'), 0)::float8 as put,
    -coalesce(sum(stock_change) filter (where change <> 'put'), 0)::float8 as taken,
    coalesce(sum(reserved_change), 0)::float8 as reserved,
    coalesce(sum(reserved_change) filter (where order_id is not null), 0)::float8 as for_orders`)

  const lastRow = Effect.map(
    sql<{ last: bigint | null }>`select max(pos) as last from ledger`,
    ([row]) => row?.last ?? 0n,
  )

  /** The ledger's rows up to one that was there at the start, by product, with the last row of each. */
  const moved = Effect.gen(function* () {
    const all = new Map<string, { readonly units: Moved; readonly last: bigint }>()
    const end = yield* lastRow
    for (let after = 0n; after < end;) {
      const slice = yield* sql<Moved & { product_id: string; last: bigint }>`
        select product_id, max(pos) as last, ${sums} from (
          select * from ledger where pos > ${after} and pos <= ${end} order by pos limit ${ledgerRows}) slice
        group by product_id`
      for (const { product_id, last, ...units } of slice) {
        all.set(product_id, { units: sumOf(all.get(product_id)?.units ?? nothing, units), last })
      }
      after = slice.reduce((most, { last }) => (last > most ? last : most), slice.length === 0 ? end : after)
    }
    return all
  })

  /** By how many units of a product open holds differ from what the ledger has reserved for the same orders. */
  const differences = Effect.gen(function* () {
    const all = new Map<string, number>()
    for (let after: bigint | undefined = 0n; after !== undefined;) {
      const bound: ReadonlyArray<{ order_id: bigint }> = yield* sql<{ order_id: bigint }>`
        select order_id from holds where order_id > ${after} order by order_id offset ${orders - 1} limit 1`
      const end: bigint | undefined = bound[0]?.order_id
      const slice = yield* sql<{ product_id: string; units: number }>`
        select product_id, sum(units)::float8 as units from (
          select l.product_id, l.quantity as units from holds h join hold_lines l on l.order_id = h.order_id
          where h.status = 'held' and h.order_id > ${after} and h.order_id <= ${end ?? mostId}
          union all
          select product_id, -reserved_change from ledger
          where order_id > ${after} and order_id <= ${end ?? mostId}) both_of_an_order
        group by product_id having sum(units) <> 0`
      for (const { product_id, units } of slice) all.set(product_id, (all.get(product_id) ?? 0) + units)
      after = end
    }
    return all
  })

  const productIds = Effect.gen(function* () {
    const all: Array<string> = []
    for (let last: string | undefined = ""; last !== undefined;) {
      const page: ReadonlyArray<{ product_id: string }> = yield* sql<{ product_id: string }>`
        select product_id from products where product_id > ${last} order by product_id limit ${products}`
      all.push(...page.map(({ product_id }) => product_id))
      last = page.at(-1)?.product_id
    }
    return all
  })

  /** What these products have on the shelf now, and what the ledger has of them after the row `last`. */
  const shelves = (some: ReadonlyArray<{ readonly product_id: string; readonly last: string }>) => sql<
    Moved & Pick<Balance, "product_id" | "stock" | "by_shelf">
  >`
    select x.product_id, coalesce(p.stock, 0)::float8 as stock, coalesce(p.reserved, 0)::float8 as by_shelf, later.*
    from json_to_recordset(${JSON.stringify(some)}::json) as x (product_id text, last bigint)
    left join products p on p.product_id = x.product_id collate "C",
    lateral (select ${sums} from ledger where product_id = x.product_id collate "C" and pos > x.last) later`

  return { moved, differences, productIds, shelves }
}

/**
 * The products whose units do not add up, at most `mostFound`: units put in are on hand or taken, and reserved units are in
 * open holds.
 *
 * The statements are short, and orders are placed between them; yet each product is compared as of one moment. A product is
 * locked before its ledger is written to, so that its rows become visible in the order of `pos`: the sums up to a row and the
 * rows after it make a whole, which the last statement sees together with the shelf. Open holds change together with
 * the ledger's rows for their orders, so that the difference between the two does not change.
 */
export const unbalanced = (sql: SqlClient.SqlClient, size = atOnce) =>
  Effect.gen(function* () {
    const { moved, differences, productIds, shelves } = statements(sql, size)
    const before = yield* moved
    const differing = yield* differences
    const ids = [...new Set([...(yield* productIds), ...before.keys(), ...differing.keys()])].sort()
    const found: Array<Balance> = []
    for (let from = 0; from < ids.length && found.length < mostFound; from += size.products) {
      const some = ids.slice(from, from + size.products)
      const lasts = some.map((product_id) => ({ product_id, last: String(before.get(product_id)?.last ?? 0) }))
      for (const { product_id, stock, by_shelf, ...later } of yield* shelves(lasts)) {
        const { for_orders, ...units } = sumOf(before.get(product_id)?.units ?? nothing, later)
        const held = for_orders + (differing.get(product_id) ?? 0)
        const balance = { product_id, stock, by_shelf, ...units, held }
        if (!isRight(balance)) found.push(balance)
      }
    }
    return found.slice(0, mostFound)
  }).pipe(Effect.orDie)
