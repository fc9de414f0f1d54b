import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Facts, Violation } from "../../module/Audit.ts"
import { audit, type Source } from "./audit.ts"
import { judge, judgeOutbox, judgeParkedStop, mostOutboxMillis } from "./invariants.ts"

const now = Date.parse("2026-01-02T00:00:00Z")
const all = ["order", "payment", "inventory", "notification", "user"]

type Known = Readonly<Record<string, Omit<Facts, "order_id">>>

const order = (status: string) => ({
  status,
  amount: "10.00",
  steps: ["payment", "inventory"],
  created_at: "2026-01-01T23:00:00Z",
})
const units = (stock: number, reserved: number) => ({ lines: 3, stock, reserved })

/** An order that ended well, as every module knows it. */
const processed: Known = {
  order: order("processed"),
  payment: { status: "successful", amount: "10.00", call: "charged", keeps: true, stopped: false, provider: "charged" },
  inventory: { status: "taken", keeps: true, stopped: false, units: units(-3, 0) },
  notification: { status: "notified", kinds: ["order_created", "order_paid", "order_processed"] },
  user: { status: "processed", amount: "10.00", listed: true },
}

/** An order that was cancelled after it was charged. */
const cancelled: Known = {
  order: order("cancelled"),
  payment: { status: "refunded", amount: "10.00", call: "charged", keeps: false, stopped: true, provider: "refunded" },
  inventory: { status: "released", keeps: false, stopped: true, units: units(0, 0) },
  notification: { status: "notified", kinds: ["order_created", "order_paid", "order_cancelled", "payment_refunded"] },
  user: { status: "cancelled", amount: "10.00", listed: true },
}

const open: Known = {
  order: order("created"),
  payment: { status: "pending", amount: "10.00", call: "no", keeps: false, stopped: false, provider: "none" },
  inventory: { status: "held", keeps: true, stopped: false, units: units(0, 3) },
  notification: { status: "notified", kinds: ["order_created"] },
  user: { status: "created", amount: "10.00", listed: true },
}

const judged = (known: Known, asked: ReadonlyArray<string> = all) => {
  const facts = new Map(Object.entries(known).map(([module, facts]) => [module, { order_id: 7, ...facts }]))
  return judge({ order_id: 7, asked: new Set(asked), facts }, now)
}

const withChange = (known: Known, module: string, change: Partial<Facts>): Known => ({
  ...known,
  [module]: { ...known[module]!, ...change },
})
const without = (known: Known, module: string): Known =>
  Object.fromEntries(Object.entries(known).filter(([name]) => name !== module))

describe("the invariants of an order", () => {
  it.each([
    ["is processed", processed],
    ["is cancelled after the charge", cancelled],
    ["is open", open],
    [
      "is cancelled during the charge",
      withChange(cancelled, "payment", { status: "pending", call: "unknown", provider: "charged" }),
    ],
    ["needs no payment", without(withChange(processed, "order", { steps: ["inventory"] }), "payment")],
    [
      "was refunded at the provider a moment ago, and is not recorded yet",
      withChange(processed, "payment", { provider: "refunded" }),
    ],
    [
      "is older than a module that mails",
      without(withChange(processed, "order", { created_at: "2025-12-31T00:00:00Z" }), "notification"),
    ],
  ])("hold when it %s", (_what, known) => expect(judged(known)).toEqual([]))

  const red: ReadonlyArray<readonly [what: string, known: Known, ...broken: ReadonlyArray<string>]> = [
    [
      "a charge that the provider does not have",
      withChange(processed, "payment", { provider: "none" }),
      "paid-once-or-refunded payment",
    ],
    [
      "a refund that the provider did not make",
      withChange(cancelled, "payment", { provider: "charged" }),
      "paid-once-or-refunded payment",
    ],
    [
      "a charge that the payment does not know",
      withChange(open, "payment", { provider: "charged" }),
      "paid-once-or-refunded payment",
    ],
    [
      "a processed order that was not charged",
      withChange(processed, "payment", { status: "failed", call: "no", keeps: false, provider: "none" }),
      "paid-once-or-refunded payment",
    ],
    ["a processed order without a payment", without(processed, "payment"), "paid-once-or-refunded payment"],
    ["another amount", withChange(processed, "payment", { amount: "9.00" }), "paid-once-or-refunded payment"],
    [
      "a cancelled order that keeps its charge",
      withChange(cancelled, "payment", { status: "successful", keeps: true, provider: "charged" }),
      "paid-once-or-refunded payment",
    ],
    [
      "a cancelled order that may still be charged",
      withChange(cancelled, "payment", { status: "pending", stopped: false, call: "no", provider: "none" }),
      "paid-once-or-refunded payment",
    ],
    [
      "a hold of a cancelled order",
      withChange(cancelled, "inventory", { status: "held", keeps: true, units: units(0, 3) }),
      "no-hold-outlives-its-order inventory",
    ],
    [
      "taken units of a cancelled order",
      withChange(cancelled, "inventory", { status: "taken", keeps: true, units: units(-3, 0) }),
      "no-hold-outlives-its-order inventory",
    ],
    [
      "a processed order whose units are held",
      withChange(processed, "inventory", { status: "held", units: units(0, 3) }),
      "no-hold-outlives-its-order inventory",
    ],
    [
      "a ledger that took too much",
      withChange(processed, "inventory", { units: units(-6, 0) }),
      "stock-adds-up inventory",
    ],
    [
      "a ledger that still reserves",
      withChange(cancelled, "inventory", { units: units(0, 3) }),
      "stock-adds-up inventory",
    ],
    [
      "no final notification",
      withChange(processed, "notification", { kinds: ["order_created"] }),
      "final-notification notification",
    ],
    ["no notification at all", without(processed, "notification"), "final-notification notification"],
    [
      "two final notifications",
      withChange(processed, "notification", { kinds: ["order_processed", "order_processed"] }),
      "final-notification notification",
    ],
    [
      "the final notification of an open order",
      withChange(open, "notification", { kinds: ["order_failed"] }),
      "final-notification notification",
    ],
    ["a user who sees another status", withChange(processed, "user", { status: "created" }), "listed-as-ordered user"],
    ["a user who does not see it", without(processed, "user"), "listed-as-ordered user"],
    [
      "an open order whose steps are done",
      withChange({ ...processed, notification: open["notification"]!, user: open["user"]! }, "order", order("paid")),
      "order-ends-with-its-steps order",
    ],
    [
      "an open order whose hold was rejected",
      withChange(open, "inventory", { status: "rejected", keeps: false, units: units(0, 0) }),
      "order-ends-with-its-steps order",
    ],
    [
      "money and stock of no order",
      without(processed, "order"),
      "paid-once-or-refunded payment",
      "no-hold-outlives-its-order inventory",
    ],
  ]
  it.each(red)("are broken by %s", (_what, known, ...broken) => {
    const violations = judged(known as Parameters<typeof judged>[0])
    expect(violations.map(({ invariant, module }) => `${invariant} ${module}`)).toEqual(broken)
    expect(violations.every(({ subject, details }) => subject === "order 7" && details !== "")).toBe(true)
  })

  it("are not asked of modules that are not there", () => {
    expect(judged({ order: processed["order"]! }, ["order"])).toEqual([])
    expect(judged({ payment: processed["payment"]! }, ["payment"])).toEqual([])
  })
})

describe("the invariants of a module", () => {
  const parked = { id: "x", reaction: "payment.stop-cancelled", order_id: 7 }
  it("name a parked stop whose order keeps money or stock, or may be charged", () => {
    const facts = (change: Partial<Facts>) => ({ order_id: 7, ...processed["payment"]!, ...change })
    expect(judgeParkedStop("payment", parked, facts({}))).toMatchObject([
      { invariant: "parked-stop", module: "payment", subject: "order 7", details: expect.stringContaining("letter x") },
    ])
    expect(judgeParkedStop("payment", parked, facts({ status: "pending", keeps: false }))).toHaveLength(1)
    expect(judgeParkedStop("payment", parked, facts({ status: "refunded", keeps: false }))).toEqual([])
    expect(judgeParkedStop("payment", parked, undefined)).toEqual([])
  })

  it("name an event that waits too long in an outbox", () => {
    const event = (age: number) => ({ event_id: "e", type: "order_created", time: new Date(now - age) })
    expect(judgeOutbox("order", event(mostOutboxMillis + 1_000), now)).toMatchObject([
      { invariant: "outbox-is-relayed", module: "order", subject: "event e" },
    ])
    expect(judgeOutbox("order", event(mostOutboxMillis), now)).toEqual([])
    expect(judgeOutbox("order", undefined, now)).toEqual([])
  })
})

/** A source that has these facts; at the look `heals` and later it has `later`. */
const sourceOf = (module: string, facts: ReadonlyArray<Facts>, later = facts): Source => {
  let looks = 0
  return {
    module,
    facts: (after, limit) =>
      Effect.sync(() => {
        if (after === 0) looks++
        const known = looks > 1 ? later : facts
        return known.filter(({ order_id }) => order_id > after).slice(0, limit)
      }),
  }
}

describe("an audit", () => {
  const factsOf = (known: Known, module: string, ids: ReadonlyArray<number>) =>
    ids.map((order_id): Facts => ({ order_id, ...known[module]! }))
  const ids = Array.from({ length: 23 }, (_, n) => 3 * n + 1)
  const quick = { local: Effect.succeed<ReadonlyArray<Violation>>([]), looks: 3, pause: 0 }

  it.effect("joins pages of any size, with gaps on each side", () =>
    Effect.gen(function* () {
      const listed = ids.filter((id) => id !== 31 && id !== 67)
      for (const limit of [1, 2, 5, 22, 23, 24, 100]) {
        const sources = [
          sourceOf("order", factsOf(processed, "order", ids)),
          sourceOf("user", factsOf(processed, "user", listed)),
        ]
        const violations = yield* audit({ ...quick, sources, limit })
        expect(violations.map(({ subject }) => subject)).toEqual(["order 31", "order 67"])
      }
    }),
  )

  it.effect("does not name what is only on its way", () =>
    Effect.gen(function* () {
      const users = factsOf(processed, "user", [1])
      const sources = [sourceOf("order", factsOf(processed, "order", [1])), sourceOf("user", [], users)]
      expect(yield* audit({ ...quick, sources, looks: 1 })).toHaveLength(1)
      const again = [sourceOf("order", factsOf(processed, "order", [1])), sourceOf("user", [], users)]
      expect(yield* audit({ ...quick, sources: again })).toEqual([])
    }),
  )

  it.effect("does not name what is wrong in another way at each look", () =>
    Effect.gen(function* () {
      let look = 0
      const local = Effect.sync(() => [
        { invariant: "outbox-is-relayed", module: "order", subject: `event ${++look}`, details: "" },
      ])
      expect(yield* audit({ ...quick, sources: [], local })).toEqual([])
    }),
  )
})
