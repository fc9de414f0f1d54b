import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { type Audit, mostFound } from "../../runtime/module/Audit.ts"
import type { HoldStatus } from "./Hold.ts"

interface Row {
  readonly order_id: bigint
  readonly status: HoldStatus
  readonly stopped: boolean
  readonly lines: number
  readonly stock: number
  readonly reserved: number
}

interface Product {
  readonly product_id: string
  readonly stock: number
  readonly reserved: number
  readonly put: number
  readonly taken: number
  readonly ledger_reserved: number
  readonly held: number
}

const factsOf = ({ order_id, status, stopped, ...units }: Row) => ({
  order_id: Number(order_id),
  status,
  stopped,
  keeps: status === "held" || status === "taken",
  units,
})

const violationOf = ({ product_id, stock, reserved, put, taken, ledger_reserved, held }: Product) => ({
  invariant: "stock-adds-up",
  subject: `product ${product_id}`,
  details: `${stock} on hand and ${taken} taken of ${put} that were put in; ${reserved} reserved, ${ledger_reserved} by the ledger, and ${held} in open holds`,
})

export const audit = Effect.map(SqlClient.SqlClient, (sql): Audit => {
  const facts: Audit["facts"] = (after, limit) =>
    Effect.map(
      Effect.orDie(sql<Row>`
        select h.order_id, h.status, h.is_dead or h.status in ('rejected', 'released') as stopped,
          (select coalesce(sum(quantity), 0) from hold_lines l where l.order_id = h.order_id)::float8 as lines,
          (select coalesce(sum(stock_change), 0) from ledger g where g.order_id = h.order_id)::float8 as stock,
          (select coalesce(sum(reserved_change), 0) from ledger g where g.order_id = h.order_id)::float8 as reserved
        from holds h where h.order_id > ${after}::bigint order by h.order_id limit ${limit}`),
      (rows) => rows.map(factsOf),
    )

  /** Units put in are on hand or taken, and reserved units are held. One statement, for a consistent snapshot. */
  const violations = Effect.map(
    Effect.orDie(sql<Product>`
      with moved as (
        select product_id, sum(stock_change) filter (where change = 'put') as put,
          -coalesce(sum(stock_change) filter (where change <> 'put'), 0) as taken, sum(reserved_change) as reserved
        from ledger group by product_id),
      open as (
        select l.product_id, sum(l.quantity) as quantity
        from holds h join hold_lines l on l.order_id = h.order_id where h.status = 'held' group by l.product_id)
      select product_id, coalesce(p.stock, 0)::float8 as stock, coalesce(p.reserved, 0)::float8 as reserved,
        coalesce(m.put, 0)::float8 as put, coalesce(m.taken, 0)::float8 as taken,
        coalesce(m.reserved, 0)::float8 as ledger_reserved, coalesce(o.quantity, 0)::float8 as held
      from products p full join moved m using (product_id) full join open o using (product_id)
      where coalesce(p.stock, 0) + coalesce(m.taken, 0) <> coalesce(m.put, 0)
        or coalesce(p.reserved, 0) <> coalesce(m.reserved, 0) or coalesce(p.reserved, 0) <> coalesce(o.quantity, 0)
      order by product_id limit ${mostFound}`),
    (rows) => rows.map(violationOf),
  )

  return {
    facts,
    violations,
    stops: ["inventory.release-declined", "inventory.release-refunded", "inventory.release-cancelled"],
  }
})
