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

interface Slice {
  /** Null after the last charge. */
  readonly last: string | null
  readonly keys: ReadonlyArray<string>
}

/** Charges that one statement looks up, so that it takes some tens of milliseconds however many there are. */
const atOnce = 10_000

/** The sandbox's charges without a payment that were not refunded, at most `mostFound`. */
export const chargesOfNoPayment = (sql: SqlClient.SqlClient, size = atOnce) =>
  Effect.gen(function* () {
    const found: Array<string> = []
    for (let after: string | null = ""; after !== null && found.length < mostFound;) {
      const [slice]: ReadonlyArray<Slice> = yield* sql<Slice>`
        with slice as (
          select key, refund_key from payment_sandbox.charges where key > ${after} order by key limit ${size})
        select max(key) as last, coalesce(json_agg(key order by key) filter (
          where refund_key is null and not exists (select from payments p where p.key = slice.key)), '[]') as keys
        from slice`
      after = slice!.last
      found.push(...slice!.keys)
    }
    return found.slice(0, mostFound)
  }).pipe(Effect.orDie)

const violationOf = (key: string) => ({
  invariant: "paid-once-or-refunded",
  subject: `charge ${key}`,
  details: "the provider has a charge without a payment",
})

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

  return {
    facts,
    ...(isSandbox ? { violations: Effect.map(chargesOfNoPayment(sql), (keys) => keys.map(violationOf)) } : {}),
    stops: ["payment.stop-rejected", "payment.stop-cancelled"],
  } satisfies Audit
})
