import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Audit } from "../../runtime/module/Audit.ts"
import { type Balance, unbalanced } from "./balance.ts"
import type { HoldStatus } from "./Hold.ts"

interface Row {
  readonly order_id: bigint
  readonly status: HoldStatus
  readonly stopped: boolean
  readonly lines: number
  readonly stock: number
  readonly reserved: number
}

const factsOf = ({ order_id, status, stopped, ...units }: Row) => ({
  order_id: Number(order_id),
  status,
  stopped,
  keeps: status === "held" || status === "taken",
  units,
})

const violationOf = ({ product_id, stock, put, taken, by_shelf, reserved, held }: Balance) => ({
  invariant: "stock-adds-up",
  subject: `product ${product_id}`,
  details: `${stock} on hand and ${taken} taken of ${put} that were put in; ${by_shelf} reserved, ${reserved} by the ledger, and ${held} in open holds`,
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

  const violations = Effect.map(unbalanced(sql), (balances) => balances.map(violationOf))

  return {
    facts,
    violations,
    stops: ["inventory.release-declined", "inventory.release-refunded", "inventory.release-cancelled"],
  }
})
