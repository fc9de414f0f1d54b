import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { mostFound } from "../../runtime/module/Audit.ts"
import { onEveryDatabase, Scenario } from "../../runtime/test/harness/scenario.ts"
import { chargesOfNoPayment } from "./audit.ts"
import { payment } from "./module.ts"

const each = await onEveryDatabase([payment])
each("Charges without a payment", (it) => {
  it.effect("are found in slices of any size", () =>
    Effect.gen(function* () {
      const sql = (yield* Scenario).database("payment")
      yield* sql`
        insert into payment_sandbox.charges (key, amount, charged_at, refund_key)
        select 'k' || lpad(n::text, 3, '0'), 1, now(), case when n % 5 = 0 then 'r' || n end from generate_series(1, 30) n`
      yield* sql`
        insert into payments (order_id, id, status, call, user_id, amount, payment_method, key, created_at)
        select n, n, 'successful', 'charged', 1, 1, 'card_ok', 'k' || lpad(n::text, 3, '0'), now()
        from generate_series(1, 30) n where n % 3 <> 0`
      const lost = ["k003", "k006", "k009", "k012", "k018", "k021", "k024", "k027"]
      for (const size of [1, 2, 3, 7, 30, 1_000]) {
        expect([size, yield* chargesOfNoPayment(sql, size)]).toEqual([size, lost])
      }
      yield* sql`
        insert into payment_sandbox.charges (key, amount, charged_at)
        select 'm' || n, 1, now() from generate_series(1, ${2 * mostFound}::int) n`
      for (const size of [30, 1_000]) expect(yield* chargesOfNoPayment(sql, size)).toHaveLength(mostFound)
    }),
  )
})
