import { describe, expect, it } from "@effect/vitest"
import { BigDecimal, Result, Schema } from "effect"
import { cancel, type Decision, learn, type News, type Order } from "./Order.ts"
import type { Step } from "./contract/events.ts"

const amount = BigDecimal.fromStringUnsafe("100.50")

const order = (given: Partial<Order> = {}): Order => ({
  id: 7,
  user_id: 3,
  amount,
  status: "created",
  reason: undefined,
  steps: ["payment", "inventory"],
  done: [],
  ...given,
})

type Rule = (order: Order) => Result.Result<Decision, unknown>

const upon =
  (news: News): Rule =>
  (order) =>
    learn(order, news)

const cancelled: Rule = (order) => cancel(order)

/** Everything that can happen to an order. */
const happenings = {
  "its own order_created": upon({ _tag: "Created" }),
  payment_successful: upon({ _tag: "Paid", amount }),
  "payment_successful of another amount": upon({ _tag: "Paid", amount: BigDecimal.fromStringUnsafe("100.51") }),
  payment_failed: upon({ _tag: "Refused", reason: "card_declined" }),
  payment_refunded: upon({ _tag: "Refused", reason: "hold_expired" }),
  inventory_rejected: upon({ _tag: "Refused", reason: "out_of_stock" }),
  "inventory_updated {taken}": upon({ _tag: "Taken" }),
  "inventory_updated {held, released}": upon({ _tag: "Noted" }),
  cancel: cancelled,
} satisfies Record<string, Rule>

type Happening = keyof typeof happenings
const all = Object.keys(happenings) as ReadonlyArray<Happening>

const decide = (order: Order, happening: Happening): Decision => Result.getOrThrow(happenings[happening](order))
const typesOf = ({ facts }: Pick<Decision, "facts">) => facts.map(({ event }) => event.type)

const both: ReadonlyArray<Step> = ["payment", "inventory"]
const setsOfSteps: ReadonlyArray<ReadonlyArray<Step>> = [[], ["payment"], ["inventory"], both]
const open = [order(), order({ status: "paid", done: ["payment"] }), order({ done: ["inventory"] })]
const over = [
  order({ status: "processed", done: both }),
  order({ status: "failed", reason: "out_of_stock" }),
  order({ status: "cancelled" }),
]
const named = (orders: ReadonlyArray<Order>) =>
  orders.map((order) => [`${order.status} with [${order.done.join()}] of [${order.steps.join()}]`, order] as const)

describe("An order", () => {
  describe("waiting for its steps", () => {
    const created = "created"
    const paid = "paid"
    const processed = "processed"
    it.each<[Happening, ReadonlyArray<Step>, ReadonlyArray<Step>, string]>([
      ["payment_successful", both, [], paid],
      ["payment_successful", both, ["inventory"], processed],
      ["payment_successful", ["payment"], [], processed],
      ["payment_successful", ["payment"], ["inventory"], processed],
      ["payment_successful", ["inventory"], [], paid],
      ["payment_successful", [], [], processed],
      ["inventory_updated {taken}", both, [], created],
      ["inventory_updated {taken}", both, ["payment"], processed],
      ["inventory_updated {taken}", ["inventory"], [], processed],
      ["inventory_updated {taken}", ["inventory"], ["payment"], processed],
      ["inventory_updated {taken}", ["payment"], [], created],
      ["inventory_updated {taken}", [], [], processed],
      ["its own order_created", [], [], processed],
      ["its own order_created", ["payment"], [], created],
      ["its own order_created", ["inventory"], [], created],
      ["its own order_created", both, [], created],
      ["its own order_created", both, ["payment"], paid],
    ])("after %s, needing [%s] with [%s] done, is %s", (happening, steps, done, status) => {
      const given = order({ steps, done, status: done.includes("payment") ? "paid" : "created" })
      const decision = decide(given, happening)
      expect(decision.order).toMatchObject({ status, reason: undefined })
      expect(typesOf(decision)).toEqual(status === "processed" ? ["order_processed"] : [])
    })

    it("records which steps are done", () => {
      const paid = decide(order(), "payment_successful").order
      expect(paid.done).toEqual(["payment"])
      expect(decide(paid, "inventory_updated {taken}").order.done).toEqual(both)
    })
  })

  describe.each(named(open))("%s", (_, given) => {
    it.each<[Happening, string]>([
      ["payment_failed", "card_declined"],
      ["payment_refunded", "hold_expired"],
      ["inventory_rejected", "out_of_stock"],
    ])("fails upon %s, for the reason %s", (happening, reason) => {
      const decision = decide(given, happening)
      expect(decision.order).toEqual({ ...given, status: "failed", reason })
      expect(typesOf(decision)).toEqual(["order_failed"])
      expect(decision.facts[0]!.data).toEqual({ order_id: 7, user_id: 3, amount, reason })
    })

    it("does not change when stock is held or released", () => {
      expect(decide(given, "inventory_updated {held, released}")).toEqual({ order: given, facts: [] })
    })

    it("is cancelled without a reason, or with the given reason", () => {
      const plain = Result.getOrThrow(cancel(given))
      expect(plain.order).toEqual({ ...given, status: "cancelled", reason: undefined })
      expect(typesOf(plain)).toEqual(["order_cancelled"])
      expect(plain.facts[0]!.data).toEqual({ order_id: 7, user_id: 3, amount })

      const explained = Result.getOrThrow(cancel(given, "too late"))
      expect(explained.order).toEqual({ ...given, status: "cancelled", reason: "too late" })
      expect(explained.facts[0]!.data).toEqual({ order_id: 7, user_id: 3, amount, reason: "too late" })
    })
  })

  describe.each(named(over))("%s", (_, given) => {
    it.each(all.filter((happening) => happening !== "cancel" && !happening.endsWith("another amount")))(
      "ignores %s",
      (happening) => {
        const decision = decide(given, happening)
        expect(decision.order).toBe(given)
        expect(decision.facts).toEqual([])
      },
    )
  })

  it("stays cancelled, with its reason, when it is cancelled again", () => {
    const given = order({ status: "cancelled", reason: "too late" })
    const decision = Result.getOrThrow(cancel(given, "another reason"))
    expect(decision.order).toBe(given)
    expect(decision.facts).toEqual([])
  })

  it.each(["processed", "failed"] as const)("cannot be cancelled once it is %s", (status) => {
    const refusal = Result.getOrThrow(Result.flip(cancel(order({ status }))))
    expect(refusal).toMatchObject({ _tag: "NotCancellable", order_id: 7, order_status: status })
  })

  it.each(named([...open, ...over]))("rejects a payment of another amount when it is %s", (_, given) => {
    for (const other of ["100.49", "100.51", "1005", "0.01"]) {
      const paid = learn(given, { _tag: "Paid", amount: BigDecimal.fromStringUnsafe(other) })
      expect(Result.getOrThrow(Result.flip(paid))).toEqual({ _tag: "AmountDiffers" })
    }
  })

  it("compares amounts by value, not by decimal places", () => {
    const paid = learn(order({ amount: BigDecimal.fromStringUnsafe("100.5") }), { _tag: "Paid", amount })
    expect(Result.getOrThrow(paid).order.status).toBe("paid")
  })
})

describe("An order with any events in any order", () => {
  interface Life extends Decision {
    /** What the order was after each happening. */
    readonly states: ReadonlyArray<Order>
  }

  const live = (steps: ReadonlyArray<Step>, lived: ReadonlyArray<Happening>): Life =>
    lived.reduce<Life>(
      ({ order, facts, states }, happening) => {
        const result = happenings[happening](order)
        const decision = Result.isSuccess(result) ? result.success : { order, facts: [] }
        return {
          order: decision.order,
          facts: [...facts, ...decision.facts],
          states: [...states, decision.order],
        }
      },
      { order: order({ steps }), facts: [], states: [] },
    )

  const outcomeOf = ({ order: { status, reason }, facts }: Life) => ({ status, reason, facts })

  const endings = ["processed", "failed", "cancelled"]
  const refusals = new Set<Happening>(["payment_failed", "payment_refunded", "inventory_rejected"])

  /** Whether all that is needed was seen: done, said without its state. */
  const complete = (steps: ReadonlyArray<Step>, lived: ReadonlyArray<Happening>) => {
    const seen = new Set(lived)
    const done = { payment: seen.has("payment_successful"), inventory: seen.has("inventory_updated {taken}") }
    if (steps.length === 0) return done.payment || done.inventory || seen.has("its own order_created")
    return steps.every((step) => done[step])
  }

  /** The endings that these happenings can lead to, in one order or another. */
  const reachable = (steps: ReadonlyArray<Step>, lived: ReadonlyArray<Happening>) => [
    ...(complete(steps, lived) ? ["processed"] : []),
    ...(lived.some((happening) => refusals.has(happening)) ? ["failed"] : []),
    ...(lived.includes("cancel") ? ["cancelled"] : []),
  ]

  const Steps = Schema.Literals([0, 1, 2, 3])
  const Lived = Schema.Array(Schema.Literals(all)).check(Schema.isMaxLength(14))
  /** The same happenings twice: as they are listed, and by rank. */
  const Ranked = Schema.Array(Schema.Struct({ happening: Schema.Literals(all), rank: Schema.Int })).check(
    Schema.isMaxLength(10),
  )
  const twice = (ranked: typeof Ranked.Type) => ({
    listed: ranked.map(({ happening }) => happening),
    sorted: ranked.toSorted((a, b) => a.rank - b.rank).map(({ happening }) => happening),
  })
  const often = { arbitrary: { runs: 1_000 } }

  it.prop(
    "is always in a state of the table, and never leaves an ending",
    [Steps, Lived],
    ([steps, lived]) => {
      const { states } = live(setsOfSteps[steps]!, lived)
      for (const [n, { status }] of states.entries()) {
        expect(["created", "paid", ...endings]).toContain(status)
        if (endings.includes(status)) for (const later of states.slice(n)) expect(later).toBe(states[n])
      }
    },
    often,
  )

  it.prop(
    "publishes its ending exactly once, and nothing else",
    [Steps, Lived],
    ([steps, lived]) => {
      const { order, facts } = live(setsOfSteps[steps]!, lived)
      expect(typesOf({ facts })).toEqual(endings.includes(order.status) ? [`order_${order.status}`] : [])
    },
    often,
  )

  it.prop(
    "is processed if and only if every step was done before any other ending; otherwise the first ending counts",
    [Steps, Lived],
    ([n, lived]) => {
      const steps = setsOfSteps[n]!
      const { order } = live(steps, lived)
      const first = lived.findIndex((_, at) => reachable(steps, lived.slice(0, at + 1)).length > 0)
      if (first < 0) return expect(order.status).toBe(lived.includes("payment_successful") ? "paid" : "created")
      const end = decide(live(steps, []).order, lived[first]!).order
      const [expected] = reachable(steps, lived.slice(0, first + 1))
      expect(order).toMatchObject({ status: expected, reason: expected === "failed" ? end.reason : undefined })
    },
    often,
  )

  it.prop(
    "does not depend on the order of events while only one kind of ending is possible",
    [Steps, Ranked],
    ([n, ranked]) => {
      const steps = setsOfSteps[n]!
      const { listed, sorted } = twice(ranked)
      const ends = reachable(steps, listed)
      const [one, other] = [live(steps, listed), live(steps, sorted)]
      if (ends.length <= 1) expect(other.order.status).toBe(one.order.status)
      if (ends.length === 0) expect(other.order.done.toSorted()).toEqual(one.order.done.toSorted())
      if (ends.length > 0) for (const { order } of [one, other]) expect(ends).toContain(order.status)
    },
    often,
  )

  it.prop(
    "ignores repeated events, whenever they repeat",
    [Steps, Lived, Schema.Array(Schema.Struct({ at: Schema.Natural, of: Schema.Natural }))],
    ([n, lived, repeats]) => {
      const again = [...lived]
      for (const { at, of } of lived.length === 0 ? [] : repeats) {
        const later = at % again.length
        again.splice(later + 1, 0, again[of % (later + 1)]!)
      }
      expect(outcomeOf(live(setsOfSteps[n]!, again))).toEqual(outcomeOf(live(setsOfSteps[n]!, lived)))
    },
    often,
  )

  it.prop(
    "is the same object after a repeated event, so that nothing is saved",
    [Steps, Lived, Schema.Literals(all)],
    ([n, lived, happening]) => {
      const once = live(setsOfSteps[n]!, [...lived, happening])
      const more = live(setsOfSteps[n]!, [...lived, happening, happening])
      expect(more.states.at(-1)).toEqual(once.order)
      expect(more.states.at(-1)).toBe(more.states.at(-2))
    },
    often,
  )
})
