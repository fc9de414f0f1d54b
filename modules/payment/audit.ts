import { Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { type Audit, mostFound } from "../../runtime/module/Audit.ts"
import type { Payment } from "./Payment.ts"
import { settings } from "./settings.ts"

interface Row {
  readonly order_id: bigint
  readonly status: Payment["status"]
  readonly amount: string | null
  readonly call: Payment["call"]
  readonly stopped: boolean
  readonly provider: "none" | "charged" | "refunded"
}

/** Reads the sandbox's charges from its tables; those of an HTTP provider cannot be listed. */
export const audit = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const isSandbox = Option.isNone(yield* Effect.orDie(settings.PAYMENT_PROVIDER_URL))

  const factsOf = ({ order_id, amount, provider, ...row }: Row) => ({
    ...row,
    order_id: Number(order_id),
    keeps: row.call === "charged" && row.status !== "refunded",
    ...(amount === null ? {} : { amount }),
    ...(isSandbox ? { provider } : {}),
  })

  const facts: Audit["facts"] = (after, limit) =>
    Effect.map(
      Effect.orDie(sql<Row>`
        select p.order_id, p.status, p.amount, p.call, p.stop is not null as stopped,
          case when c.key is null then 'none' when c.refund_key is null then 'charged' else 'refunded' end as provider
        from payments p left join payment_sandbox.charges c on c.key = p.key
        where p.order_id > ${after}::bigint order by p.order_id limit ${limit}`),
      (rows) => rows.map(factsOf),
    )

  const chargesOfNoPayment = Effect.map(
    Effect.orDie(sql<{ key: string }>`
      select key from payment_sandbox.charges c
      where refund_key is null and not exists (select from payments p where p.key = c.key) limit ${mostFound}`),
    (rows) =>
      rows.map(({ key }) => ({
        invariant: "paid-once-or-refunded",
        subject: `charge ${key}`,
        details: "the provider has a charge without a payment",
      })),
  )

  return {
    facts,
    ...(isSandbox ? { violations: chargesOfNoPayment } : {}),
    stops: ["payment.stop-rejected", "payment.stop-cancelled"],
  } satisfies Audit
})
