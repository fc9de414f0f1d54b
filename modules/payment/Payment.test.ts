import { describe, expect, it } from "@effect/vitest"
import { BigDecimal, Schema } from "effect"
import type { Step } from "../order/contract/events.ts"
import {
  begin,
  type ChargeCall,
  type ChargeResult,
  type Decision,
  end,
  go,
  lookUpMillis,
  none,
  open,
  type Payment,
  refunded,
  refundOf,
  stop,
  type Terms,
  waitOf,
} from "./Payment.ts"

const amount = BigDecimal.fromStringUnsafe("100.50")
const terms: Terms = { user_id: 3, amount, payment_method: "card_ok", key: "019b7f4e" }
const both: ReadonlyArray<Step> = ["payment", "inventory"]
const giveUp = 600_000
const minute = 60_000

/** Of order 7, pending and chargeable since 0. */
const payment = (given: Partial<Payment> = {}): Payment => ({
  ...none(7),
  id: 42,
  status: "pending",
  terms,
  go: true,
  chargeable_at: 0,
  ...given,
})

const typesOf = ({ facts }: Pick<Decision, "facts">) => facts.map(({ event }) => event.type)
const same = (given: Payment, decision: Decision) => {
  expect(decision.payment).toBe(given)
  expect(decision.facts).toEqual([])
  expect(decision.task).toBeUndefined()
}
const created = (given: Payment, steps = both, now = 5) => open(given, { ...terms, steps }, now)
const paid = { order_id: 7, payment_id: 42, user_id: 3, amount }

describe("A payment before order_created", () => {
  it("is pending once order_created arrives, and not charged before the stock is held", () => {
    const decision = created(none(7))
    expect(decision.payment).toMatchObject({ status: "pending", terms, go: false, chargeable_at: undefined })
    expect(decision.task).toBeUndefined()
    expect(decision.facts).toEqual([])
  })

  it("is charged at once when inventory is not a step", () => {
    expect(created(none(7), ["payment"])).toMatchObject({ payment: { chargeable_at: 5 }, task: "charge" })
  })

  it("records that the stock is held, and is charged when order_created arrives", () => {
    const early = go(none(7), 1)
    expect(early).toEqual({ payment: { ...none(7), go: true }, facts: [] })
    expect(created(early.payment)).toMatchObject({ payment: { status: "pending", chargeable_at: 5 }, task: "charge" })
  })

  it("records a stop, and then fails without an event", () => {
    const early = stop(go(none(7), 1).payment, "out_of_stock", 1)
    expect(early).toEqual({ payment: { ...none(7), go: true, stop: "out_of_stock" }, facts: [] })
    const decision = created(early.payment)
    expect(decision.payment).toMatchObject({ status: "failed", reason: "out_of_stock", terms, call: "no" })
    expect(decision.facts).toEqual([])
    expect(decision.task).toBeUndefined()
  })

  it("is opened once, by the first order_created", () => {
    for (const given of [payment(), payment({ status: "failed" }), payment({ status: "refunded" })]) {
      same(given, created(given, ["payment"]))
    }
  })
})

describe("A pending payment", () => {
  it("is charged once the stock is held", () => {
    const waiting = payment({ go: false, chargeable_at: undefined })
    expect(begin(waiting, giveUp, 1)).toEqual({ payment: waiting, facts: [] })
    expect(go(waiting, 9)).toMatchObject({ payment: { go: true, chargeable_at: 9 }, task: "charge" })
    expect(begin(go(waiting, 9).payment, giveUp, 10)).toMatchObject({
      payment: { call: "out" },
      facts: [],
      call: { _tag: "Charge", order_id: 7, terms },
    })
  })

  it("fails without an event when it is stopped before any call", () => {
    const decision = stop(payment(), "order_cancelled", 9)
    expect(decision.payment).toMatchObject({ status: "failed", reason: "order_cancelled", failed_at: 9 })
    expect(decision.facts).toEqual([])
    same(decision.payment, begin(decision.payment, giveUp, 10))
  })

  it.each(["out", "unknown"] as const)("leaves a stop to the answer while a call is %s", (call) => {
    expect(stop(payment({ call }), "order_cancelled", 9)).toEqual({
      payment: payment({ call, stop: "order_cancelled" }),
      facts: [],
    })
  })

  it.each(["out", "unknown"] as const)("is looked up before it is charged again when a call is %s", (call) => {
    expect(begin(payment({ call }), giveUp, 1)).toMatchObject({
      payment: { call: "out" },
      call: { _tag: "LookUp", charges: true },
    })
  })

  it.each<[string, Partial<Payment>, number]>([
    ["after a stop", { stop: "order_cancelled" }, 1],
    ["when it is to be given up", {}, giveUp],
  ])("is looked up and not charged again %s", (_, given, now) => {
    expect(begin(payment({ call: "unknown", ...given }), giveUp, now)).toMatchObject({
      payment: { call: "unknown" },
      facts: [],
      call: { _tag: "LookUp", charges: false },
    })
  })

  const after = (_tag: ChargeCall["_tag"], given: Partial<Payment>, result: ChargeResult, now = minute) =>
    end(payment({ call: "out", ...given }), { _tag }, result, giveUp, now)
  const stopped = { stop: "order_cancelled" }

  it("is successful when it is charged", () => {
    for (const _tag of ["Charge", "LookUp"] as const) {
      const decision = after(_tag, {}, { _tag: "Charged" })
      expect(decision.payment).toEqual(payment({ status: "successful", call: "charged" }))
      expect(typesOf(decision)).toEqual(["payment_successful"])
      expect(decision.facts[0]!.data).toEqual(paid)
      expect(decision.task).toBeUndefined()
    }
  })

  it("is successful and then refunded when it is charged after a stop", () => {
    const decision = after("Charge", stopped, { _tag: "Charged" })
    expect(decision.payment).toMatchObject({ status: "successful" })
    expect(typesOf(decision)).toEqual(["payment_successful"])
    expect(decision.task).toBe("refund")
    expect(refundOf(decision.payment)).toEqual({ reason: "order_cancelled" })
  })

  it.each([{}, stopped])("fails for the provider's reason when it is declined, with %j", (given) => {
    const decision = after("Charge", given, { _tag: "Declined", reason: "card_declined" })
    expect(decision.payment).toMatchObject({ status: "failed", reason: "card_declined", call: "no" })
    expect(typesOf(decision)).toEqual(["payment_failed"])
    expect(decision.facts[0]!.data).toEqual({ ...paid, reason: "card_declined" })
    expect(waitOf(decision.payment, giveUp, minute)).toBeUndefined()
  })

  it("fails without an event when it was stopped, and the provider knows no charge", () => {
    const decision = after("LookUp", stopped, { _tag: "NoCharge" })
    expect(decision.payment).toMatchObject({ status: "failed", reason: "order_cancelled", call: "unknown" })
    expect(decision.facts).toEqual([])
  })

  it("fails without an event when it was stopped, and the call was not made", () => {
    const decision = after("Charge", stopped, { _tag: "NotMade" })
    expect(decision.payment).toMatchObject({ status: "failed", reason: "order_cancelled", call: "no" })
    expect(decision.facts).toEqual([])
  })

  it("stays pending without an answer, with the call unknown", () => {
    expect(after("Charge", {}, { _tag: "Unknown" })).toEqual({ payment: payment({ call: "unknown" }), facts: [] })
    expect(after("LookUp", {}, { _tag: "Unknown" })).toEqual({ payment: payment({ call: "unknown" }), facts: [] })
    expect(after("Charge", {}, { _tag: "NotMade" })).toEqual({ payment: payment({ call: "no" }), facts: [] })
    expect(after("LookUp", {}, { _tag: "NotMade" })).toEqual({ payment: payment({ call: "unknown" }), facts: [] })
    expect(after("LookUp", stopped, { _tag: "NotMade" }).payment.status).toBe("pending")
  })

  it("keeps an earlier unknown call when it is declined", () => {
    expect(after("LookUp", {}, { _tag: "Declined", reason: "card_declined" }).payment.call).toBe("unknown")
  })

  it("is given up after the limit, without a call if none was made", () => {
    const decision = begin(payment(), giveUp, giveUp)
    expect(decision.call).toBeUndefined()
    expect(decision.payment).toMatchObject({ status: "failed", reason: "provider_unavailable", call: "no" })
    expect(typesOf(decision)).toEqual(["payment_failed"])
    expect(decision.facts[0]!.data).toEqual({ ...paid, reason: "provider_unavailable" })
    expect(begin(payment(), giveUp, giveUp - 1).call).toMatchObject({ _tag: "Charge" })
  })

  it.each<ChargeResult>([{ _tag: "NoCharge" }, { _tag: "NotMade" }, { _tag: "Unknown" }])(
    "is given up after the limit at the end of a look-up: %j",
    (result) => {
      const decision = after("LookUp", {}, result, giveUp)
      expect(decision.payment).toMatchObject({ status: "failed", reason: "provider_unavailable", call: "unknown" })
      expect(typesOf(decision)).toEqual(["payment_failed"])
      expect(after("LookUp", {}, result, giveUp - 1).payment.status).toBe("pending")
    },
  )

  it("is given up after the limit by a call that was not made, and then not looked up", () => {
    const decision = after("Charge", {}, { _tag: "NotMade" }, giveUp)
    expect(decision.payment).toMatchObject({ status: "failed", reason: "provider_unavailable", call: "no" })
    expect(typesOf(decision)).toEqual(["payment_failed"])
    expect(waitOf(decision.payment, giveUp, giveUp)).toBeUndefined()
  })

  it("is given up without an event after a stop", () => {
    const decision = after("LookUp", stopped, { _tag: "Unknown" }, giveUp)
    expect(decision.payment).toMatchObject({ status: "failed", reason: "provider_unavailable", call: "unknown" })
    expect(decision.facts).toEqual([])
  })
})

describe("A successful payment", () => {
  const successful = payment({ status: "successful", call: "charged" })

  it("is refunded upon a stop", () => {
    const decision = stop(successful, "hold_expired", 9)
    expect(decision).toEqual({ payment: { ...successful, stop: "hold_expired" }, facts: [], task: "refund" })
    const back = refunded(decision.payment)
    expect(back.payment).toMatchObject({ status: "refunded", reason: "hold_expired" })
    expect(typesOf(back)).toEqual(["payment_refunded"])
    expect(back.facts[0]!.data).toEqual({ ...paid, reason: "hold_expired" })
  })

  it("is refunded once, and not without a stop", () => {
    expect(refundOf(successful)).toBeUndefined()
    same(successful, refunded(successful))
    const stopped = stop(successful, "hold_expired", 9).payment
    same(stopped, stop(stopped, "order_cancelled", 10))
    const back = refunded(stopped).payment
    expect(refundOf(back)).toBeUndefined()
    same(back, refunded(back))
  })
})

describe("A failed payment", () => {
  const failed = payment({ status: "failed", reason: "provider_unavailable", call: "unknown", failed_at: giveUp })

  it("is looked up, and refunded when it was charged after all", () => {
    expect(begin(failed, giveUp, giveUp + 1)).toMatchObject({ call: { _tag: "LookUp", charges: false } })
    const found = end(failed, { _tag: "LookUp" }, { _tag: "Charged" }, giveUp, giveUp + 2)
    expect(found).toEqual({ payment: { ...failed, call: "charged" }, facts: [], task: "refund" })
    expect(waitOf(found.payment, giveUp, giveUp + 2)).toBeUndefined()
    const back = refunded(found.payment)
    expect(back.payment).toMatchObject({ status: "refunded", reason: "provider_unavailable" })
    expect(typesOf(back)).toEqual(["payment_refunded"])
  })

  it.each<ChargeResult>([{ _tag: "NoCharge" }, { _tag: "NotMade" }, { _tag: "Unknown" }])(
    "stays failed at the end of a look-up: %j",
    (result) => {
      expect(end(failed, { _tag: "LookUp" }, result, giveUp, giveUp + 2)).toEqual({ payment: failed, facts: [] })
    },
  )

  it("names the stop as the reason of the refund, where there was one", () => {
    expect(refundOf({ ...failed, call: "charged", stop: "order_cancelled" })).toEqual({ reason: "order_cancelled" })
  })

  it("is not refunded where nothing was charged", () => {
    expect(refundOf(failed)).toBeUndefined()
    expect(refundOf({ ...failed, call: "no" })).toBeUndefined()
  })

  it("is looked up for 24 hours", () => {
    const until = giveUp + lookUpMillis
    expect(waitOf(failed, giveUp, until - 1_000)).toBe(1_000)
    expect(waitOf(failed, giveUp, until)).toBeUndefined()
    expect(waitOf({ ...failed, call: "no" }, giveUp, giveUp)).toBeUndefined()
  })

  it("ignores everything else, as a refunded payment does", () => {
    for (const given of [failed, { ...failed, call: "no" as const }, payment({ status: "refunded", reason: "x" })]) {
      same(given, go(given, 1))
      same(given, stop(given, "order_cancelled", 1))
      same(given, created(given))
    }
  })
})

describe("the wait between two calls of a payment", () => {
  it.each([
    [0, 500],
    [700, 700],
    [2_000, 2_000],
    [minute, minute],
    [5 * minute, minute],
    [giveUp - 1_000, 1_000],
  ])("after %i ms is %i ms", (since, wait) => {
    expect(waitOf(payment({ call: "unknown" }), giveUp, since)).toBe(wait)
  })

  it("is the circuit's wait, up to the time when the payment is given up", () => {
    expect(waitOf(payment(), giveUp, 0, 30_000)).toBe(30_000)
    expect(waitOf(payment(), giveUp, giveUp - 1_000, 30_000)).toBe(1_000)
  })

  it("ends with the payment", () => {
    expect(waitOf(payment({ status: "successful", call: "charged" }), giveUp, 0)).toBeUndefined()
  })
})

describe("A payment with any events in any order", () => {
  const moods = ["charges", "loses", "declines", "errors", "refuses", "delays"] as const
  type Happening = "created" | "held" | "rejected" | "cancelled" | "work" | "dies" | "time" | "lands" | Mood
  type Mood = (typeof moods)[number]
  const most: ReadonlyArray<Happening> = [
    "work",
    "work",
    "work",
    "dies",
    "time",
    "lands",
    "cancelled",
    "rejected",
    ...moods,
  ]
  /** Mostly an order that is created and may be charged, early or late, among anything else. */
  const Lived = Schema.Array(Schema.Literals([...most.keys()])).check(Schema.isMinLength(8), Schema.isMaxLength(30))
  const Place = Schema.Literals([0, 0, 1, 2, 3, 5, 8, 99])
  const Life = Schema.Struct({ lived: Lived, created: Place, held: Place })
  const lifeOf = ({ lived, created, held }: typeof Life.Type): ReadonlyArray<Happening> =>
    lived.flatMap((n, at): ReadonlyArray<Happening> => [
      ...(at === created ? (["created"] as const) : []),
      ...(at === held ? (["held"] as const) : []),
      most[n]!,
    ])
  const Steps = Schema.Literals([0, 1])
  const often = { arbitrary: { runs: 2_000 } }

  /** The payment module and its provider, a step at a time; money is counted at the provider, not in the payment. */
  const world = (steps: ReadonlyArray<Step>) => {
    let state = none(7)
    let now = 0
    const facts: Array<string> = []
    const tasks = { charge: 0, refund: 0 }
    const provider = { mood: "charges" as Mood, charges: 0, refunds: 0, isLate: false, isDeclined: false }
    const apply = (decision: Decision) => {
      // The store assigns the id.
      state = decision.payment.terms === undefined ? decision.payment : { ...decision.payment, id: 42 }
      facts.push(...typesOf(decision))
      if (decision.task !== undefined) tasks[decision.task] += 1
    }
    const charge = (): ChargeResult => {
      if (provider.charges > 0) return { _tag: "Charged" }
      switch (provider.mood) {
        case "loses":
          provider.charges = 1
          return { _tag: "Unknown" }
        case "declines":
          return { _tag: "Declined", reason: "card_declined" }
        case "errors":
          return { _tag: "Unknown" }
        case "refuses":
          return { _tag: "NotMade" }
        case "delays":
          provider.isLate = true
          return { _tag: "Unknown" }
        default:
          provider.charges = 1
          return { _tag: "Charged" }
      }
    }
    const call = ({ _tag, charges }: ChargeCall): ChargeResult => {
      if (_tag === "Charge") return charge()
      if (provider.mood === "errors") return { _tag: "Unknown" }
      if (provider.mood === "refuses") return { _tag: "NotMade" }
      if (provider.charges > 0) return { _tag: "Charged" }
      return charges ? charge() : { _tag: "NoCharge" }
    }
    /** One round of the worker; the process may die before it records. */
    const work = (dies = false) => {
      if (tasks.charge > 0) {
        const begun = begin(state, giveUp, now)
        apply(begun)
        if (begun.call === undefined) tasks.charge = 0
        else {
          const result = call(begun.call)
          if (dies) return
          apply(end(state, begun.call, result, giveUp, now))
          if (waitOf(state, giveUp, now) === undefined) tasks.charge = 0
        }
      }
      if (tasks.refund > 0 && refundOf(state) !== undefined) {
        if (provider.mood === "errors" || provider.mood === "refuses") return
        provider.refunds = Math.min(1, provider.charges)
        if (dies) return
        apply(refunded(state))
      }
    }
    const upon = {
      created: () => apply(open(state, { ...terms, steps }, now)),
      held: () => apply(go(state, now)),
      rejected: () => apply(stop(state, "out_of_stock", now)),
      cancelled: () => apply(stop(state, "order_cancelled", now)),
      work: () => work(),
      dies: () => work(true),
      time: () => void (now += giveUp / 3),
      lands: () => {
        if (provider.isLate) provider.charges = 1
        provider.isLate = false
      },
    }
    const live = (happening: Happening) => {
      if (Object.hasOwn(upon, happening)) upon[happening as keyof typeof upon]()
      else provider.mood = happening as Mood
    }
    /** Lets time pass with a provider that works, until nothing is left to do. */
    const settle = (mood: Mood = "charges") => {
      provider.mood = mood
      upon.lands()
      for (let n = 0; n < 8; n++) work()
    }
    return { live, settle, facts, provider, tasks, upon, state: () => state }
  }

  const lived = (n: number, happenings: ReadonlyArray<Happening>) => {
    const steps = n === 0 ? both : (["payment"] as const)
    const it = world(steps)
    for (const happening of happenings) it.live(happening)
    return { ...it, steps, seen: new Set<string>(happenings) }
  }

  it.prop(
    "has at most one charge and one refund, and agrees with the provider",
    [Steps, Life],
    ([n, life]) => {
      const happenings = lifeOf(life)
      const { settle, facts, provider, state, seen } = lived(n, happenings)
      settle()
      const { status } = state()
      const kept = provider.charges - provider.refunds
      expect(provider.charges).toBeLessThanOrEqual(1)
      expect(kept).toBe(status === "successful" ? 1 : 0)
      expect(status === "refunded").toBe(provider.refunds === 1)
      expect(facts.filter((type) => type === "payment_successful").length).toBeLessThanOrEqual(1)
      expect(facts.filter((type) => type === "payment_refunded")).toHaveLength(provider.refunds)
      expect(new Set(facts).size).toBe(facts.length)
      if (seen.has("rejected") || seen.has("cancelled")) expect(kept).toBe(0)
    },
    often,
  )

  it.prop(
    "ends: it is never pending for ever, whatever the provider does",
    [Steps, Life, Schema.Literals(moods)],
    ([n, life, mood]) => {
      const happenings = lifeOf(life)
      const { settle, live, state, steps, seen } = lived(n, happenings)
      for (let n = 0; n < 4; n++) {
        live("time")
        settle(mood)
      }
      const mayBeCharged = seen.has("created") && (seen.has("held") || !steps.some((step) => step === "inventory"))
      if (mayBeCharged) expect(state().status).not.toBe("pending")
      if (mayBeCharged) expect(state().status).not.toBe("none")
    },
    often,
  )

  it.prop(
    "is not charged before the stock is held, nor after a stop",
    [Steps, Life],
    ([n, life]) => {
      const happenings = lifeOf(life)
      const { settle, provider, seen, steps, facts } = lived(n, happenings)
      settle()
      if (steps.some((step) => step === "inventory") && !seen.has("held")) expect(provider.charges).toBe(0)
      if (!seen.has("created")) expect(facts).toEqual([])
      const firstStop = happenings.findIndex((one) => one === "rejected" || one === "cancelled")
      const firstWork = happenings.findIndex((one) => one === "work" || one === "dies")
      if (firstStop >= 0 && (firstWork < 0 || firstStop < firstWork)) {
        expect(provider.charges).toBe(0)
        expect(facts).toEqual([])
      }
    },
    often,
  )

  it.prop(
    "ignores repeated events",
    [Steps, Life],
    ([n, life]) => {
      const happenings = lifeOf(life)
      const once = lived(n, happenings)
      const repeated = ["created", "held", "rejected", "cancelled"] as const
      const twice = lived(
        n,
        happenings.flatMap((one) => (repeated.some((type) => type === one) ? [one, one] : [one])),
      )
      expect(twice.state()).toEqual(once.state())
      expect(twice.facts).toEqual(once.facts)
      expect(twice.tasks).toEqual(once.tasks)
    },
    often,
  )
})
