import { describe, expect, it } from "vitest"
import type { JourneyEventJson, OrderJourneyJson, ReactionDeliveryJson } from "../answers.ts"
import { gapsByReason, layoutOf, scaleOf } from "./layout.js"

const zero = Date.parse("2026-01-02T12:00:00Z")
const at = (millis: number) => new Date(zero + millis).toISOString()

const delivery = (
  reaction: string,
  status: ReactionDeliveryJson["status"],
  millis: number | null,
): ReactionDeliveryJson => ({
  module: reaction.split(".")[0]!,
  reaction,
  status,
  at: millis === null ? null : at(millis),
  attempts: 1,
})

const event = (
  id: string,
  type: string,
  millis: number,
  deliveries: ReadonlyArray<ReactionDeliveryJson>,
  change: Partial<JourneyEventJson> = {},
): JourneyEventJson => ({
  module: "order",
  topic: type,
  partition: 2,
  offset: 17,
  time: at(millis),
  event: { id, source: "/galleria/order", type, subject: "1", key: "7", data: {} },
  deliveries,
  ...change,
})

const journey = (change: Partial<OrderJourneyJson>): OrderJourneyJson => ({
  order_id: 1,
  user_id: 7,
  trace_ids: [],
  order: { status: "created", amount: "10.00", created_at: at(0) },
  events: [],
  unsent: [],
  steps: [],
  gaps: [],
  ...change,
})

const shown = (whole: OrderJourneyJson, isFolded = true) =>
  layoutOf(whole, zero, { isFolded }).rows.map((row) =>
    row.kind === "gap"
      ? `gap ${row.millis}`
      : `${row.at - zero} ${Object.entries(row.cells)
          .map(([lane, { text }]) => `${lane}:${text}`)
          .join(" ")}${row.log === undefined ? "" : ` ${row.log}`}`,
  )

describe("A journey", () => {
  it("has a row for each event, and one for what reactions do at nearly one time", () => {
    const whole = journey({
      events: [
        event("a", "order_created", 0, [
          delivery("user.record-order", "applied", 11),
          delivery("payment.open", "applied", 12),
          delivery("inventory.hold-order", "applied", 40),
        ]),
      ],
    })
    expect(shown(whole)).toEqual([
      "0 order:order_created p2@17",
      "11 user:record-order payment:open",
      "40 inventory:hold-order",
    ])
  })

  it("puts an event before what it caused at the same time, and two marks of a module in two rows", () => {
    const whole = journey({
      events: [
        event("a", "order_created", 0, [delivery("order.own", "applied", 0), delivery("order.other", "applied", 0)]),
      ],
    })
    expect(shown(whole)).toEqual(["0 order:order_created p2@17", "0 order:own", "0 order:other"])
  })

  it("folds a time without anything, but not in the true scale", () => {
    const whole = journey({ events: [event("a", "order_created", 0, []), event("b", "order_cancelled", 60_000, [])] })
    expect(shown(whole)).toEqual(["0 order:order_created p2@17", "gap 60000", "60000 order:order_cancelled p2@17"])
    expect(shown(whole, false)).toHaveLength(2)
    const place = scaleOf(layoutOf(whole, zero, { isFolded: false }).rows)
    expect([place(zero), place(zero + 30_000), place(zero + 60_000)]).toEqual([0, 50, 100])
  })

  it("shows the time between clocks that differ as it is", () => {
    const whole = journey({ events: [event("a", "order_created", 0, [delivery("user.record-order", "applied", -12)])] })
    const [first, second] = layoutOf(whole, zero, { isFolded: true }).rows
    expect([first, second].map((row) => (row?.kind === "row" ? row.delta : undefined))).toEqual([undefined, 12])
  })

  it("keeps what is open apart from what happened", () => {
    const whole = journey({
      events: [
        event("a", "order_created", 0, [
          delivery("inventory.hold-order", "parked", 500),
          delivery("user.record-order", "pending", null),
          delivery("payment.open", "unknown", null),
        ]),
      ],
      unsent: [{ module: "order", type: "order_cancelled", age_seconds: 45 }],
      steps: [{ module: "payment", kind: "charge", at: at(10), state: "retrying", attempts: 2, why: "circuit open" }],
    })
    expect(shown(whole)).toEqual(["0 order:order_created p2@17"])
    const { open, isFinished } = layoutOf(whole, zero, { isFolded: true })
    expect(open.map(({ state, text }) => `${state}: ${text}`)).toEqual([
      "unsent: order_cancelled was written 45.0 s ago and is not on the log yet.",
      "parked: order_created is parked in inventory.hold-order: it waits for a person.",
      "pending: user.record-order has not taken charge of order_created yet.",
      "unknown: Whether order_created took effect in payment.open is unknown: payment could not be asked.",
      "retrying: payment's charge is retrying after 2 failed attempts: circuit open.",
    ])
    expect(isFinished).toBe(false)
  })

  it("is finished when its order has ended and nothing is open", () => {
    const order = { status: "processed", amount: "10.00", created_at: at(0) }
    const done = event("a", "order_created", 0, [delivery("user.record-order", "applied", 5)])
    expect(layoutOf(journey({ order, events: [done] }), zero, { isFolded: true }).isFinished).toBe(true)
    expect(layoutOf(journey({ events: [done] }), zero, { isFolded: true }).isFinished).toBe(false)
    const late = event("a", "order_created", 0, [delivery("user.record-order", "pending", null)])
    expect(layoutOf(journey({ order, events: [late] }), zero, { isFolded: true }).isFinished).toBe(false)
  })

  it("says what is missing once for each reason", () => {
    const why = "the event log does not answer"
    const gaps = [
      { topic: "order_created", why },
      { module: "payment", why: "no answer" },
      { topic: "order_failed", why },
      { why: "older ones are gone" },
    ]
    expect(gapsByReason(gaps)).toEqual([
      `order_created, order_failed: ${why}`,
      "payment: no answer",
      "older ones are gone",
    ])
  })

  it("marks an event that the log has forgotten", () => {
    const whole = journey({ events: [event("a", "order_created", 0, [], { partition: null, offset: null })] })
    const [row] = layoutOf(whole, zero, { isFolded: true }).rows
    expect(row?.kind === "row" && row.cells["order"]).toMatchObject({ state: "forgotten", mark: "░" })
    expect(row?.kind === "row" && row.log).toBe("")
  })

  it("has the lanes of all modules, further ones by name, and knows which could not be asked", () => {
    const whole = journey({
      events: [event("a", "order_created", 0, [delivery("shipping.plan", "applied", 5)])],
      gaps: [{ module: "payment", why: "no answer within 1 s" }],
    })
    const { lanes, away } = layoutOf(whole, zero, { isFolded: true })
    expect(lanes).toEqual(["user", "order", "payment", "inventory", "notification", "shipping"])
    expect([...away]).toEqual(["payment"])
  })
})
