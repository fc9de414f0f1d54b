import { describe, expect, it } from "@effect/vitest"
import { askedOf, eventsOf, journeyOf, mostEvents, timesOf, userOf } from "./combine.ts"
import type { FoundDelivery, SeenEvent } from "./JourneyPart.ts"
import { journeyPart } from "../../test/harness/journeyPart.ts"

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 2, 3, 4, seconds))

const seen = (given: Partial<SeenEvent> = {}): SeenEvent => ({
  topic: "order_created",
  partition: 2,
  offset: 17,
  time: at(1),
  id: "e1",
  source: "/galleria/order",
  subject: "7",
  key: "3",
  data: { order_id: 7, user_id: 3 },
  trace_id: "t1",
  ...given,
})

const past = (id: string, type: string, time: Date) => ({ id, type, time, data: { order_id: 7 } })

const journey = (given: Partial<Parameters<typeof journeyOf>[0]>) =>
  journeyOf({ order_id: 7, parts: [], events: [], answers: [], gaps: [], ...given })

describe("the events of an order", () => {
  it("are each there once, in the order of time, in whichever module they are", () => {
    const paid = seen({ topic: "payment_successful", id: "e2", source: "/galleria/payment", time: at(2) })
    const parts = [
      journeyPart("order", { history: [past("e1", "order_created", at(0)), past("e3", "order_processed", at(3))] }),
      journeyPart("payment", { seen: [seen()] }),
    ]
    const events = eventsOf(parts, [paid, seen()])
    expect(events.map(({ id, offset }) => [id, offset])).toEqual([
      ["e1", 17],
      ["e2", 17],
      ["e3", null],
    ])
  })

  it("are at the place of the first copy", () => {
    expect(eventsOf([], [seen({ offset: 20, time: at(9) }), seen()])).toEqual([seen()])
    expect(eventsOf([], [seen(), seen({ offset: 20, time: at(9) })])).toEqual([seen()])
  })

  it("are two where two programs use one id", () => {
    expect(eventsOf([], [seen(), seen({ source: "/foreign/order_created", offset: 18 })])).toHaveLength(2)
  })

  it("have an end", () => {
    const many = Array.from({ length: mostEvents + 50 }, (_, n) => seen({ id: `e${n}`, offset: n }))
    expect(eventsOf([], many)).toHaveLength(mostEvents)
  })
})

describe("what modules are asked", () => {
  it("is the source of an event, or the usual ones where only a history has it", () => {
    const parts = [
      journeyPart("order", { publishes: ["order_created"], history: [past("e9", "order_created", at(0))] }),
    ]
    expect(askedOf(eventsOf(parts, [seen()]), parts)).toEqual([
      {
        id: "e9",
        type: "order_created",
        sources: ["/galleria/order", "/foreign/order_created"],
        partition: null,
        offset: null,
      },
      { id: "e1", type: "order_created", sources: ["/galleria/order"], partition: 2, offset: 17 },
    ])
  })
})

describe("a journey", () => {
  const delivery: FoundDelivery = {
    event_id: "e1",
    module: "payment",
    reaction: "payment.open",
    status: "applied",
    at: at(2),
    attempts: 0,
  }

  it("shows what each module made of an event, and unknown for one that could not be asked", () => {
    const reactions = [
      { reaction: "inventory.hold", type: "order_created" },
      { reaction: "inventory.take", type: "payment_successful" },
    ]
    const found = journey({
      events: [seen()],
      parts: [journeyPart("payment"), journeyPart("inventory", { reactions })],
      answers: [
        { module: "payment", deliveries: [delivery, { ...delivery, event_id: "e2" }] },
        { module: "inventory", deliveries: undefined },
      ],
    })
    expect(found?.events[0]?.deliveries).toEqual([
      { module: "payment", reaction: "payment.open", status: "applied", at: at(2), attempts: 0 },
      { module: "inventory", reaction: "inventory.hold", status: "unknown", at: null, attempts: 0 },
    ])
  })

  it("names the module that wrote an event, and none for another program", () => {
    const parts = [
      journeyPart("order", { publishes: ["order_created"], history: [past("e9", "order_created", at(0))] }),
    ]
    const events = eventsOf(parts, [seen(), seen({ id: "e3", source: "/foreign/order_created", time: at(4) })])
    expect(journey({ parts, events })?.events.map(({ module }) => module)).toEqual(["order", "order", null])
  })

  it("has traces once each, of sent and unsent events", () => {
    const unsent = { module: "order", type: "order_failed", age_seconds: 3, trace_id: "t2" }
    const found = journey({
      parts: [journeyPart("order", { unsent: [unsent, { ...unsent, trace_id: null }] })],
      events: [seen(), seen({ id: "e2" })],
    })
    expect(found?.trace_ids).toEqual(["t1", "t2"])
    expect(found?.unsent[0]).toEqual({ module: "order", type: "order_failed", age_seconds: 3 })
  })

  it("has steps in the order of time", () => {
    const step = (seconds: number) => ({ kind: "mail", at: at(seconds), state: "sent", attempts: 0 }) as const
    const parts = [journeyPart("notification", { steps: [step(5)] }), journeyPart("payment", { steps: [step(1)] })]
    expect(journey({ parts })?.steps.map(({ module }) => module)).toEqual(["payment", "notification"])
  })

  it("says what is missing: of a module, of the log, and what the log does not have any more", () => {
    const parts = [
      journeyPart("order", { gaps: ["its outbox could not be read in time"], history: [past("e9", "x", at(0))] }),
    ]
    const gaps = [{ topic: "order_created", why: "the event log does not answer" }]
    expect(journey({ parts, events: eventsOf(parts, []), gaps })?.gaps).toEqual([
      { module: "order", why: "its outbox could not be read in time" },
      { topic: "order_created", why: "the event log does not answer" },
      { why: expect.stringContaining("history") },
    ])
  })

  it("is none when nothing is known of the order and nothing is missing", () => {
    expect(journey({ parts: [journeyPart("order")] })).toBeUndefined()
    expect(journey({ gaps: [{ module: "order", why: "no answer" }] })).toMatchObject({ order: null, events: [] })
  })
})

describe("what is known of an order", () => {
  it("is its user, as a module has it or an event says", () => {
    expect(userOf([journeyPart("order"), journeyPart("payment", { user_id: 3 })], [])).toBe(3)
    expect(userOf([journeyPart("order", { seen: [seen({ data: { user_id: "4" } })] })], [])).toBe(4)
    expect(userOf([journeyPart("order")], [{ data: { user_id: -1 } }, { data: null }])).toBeNull()
  })

  it("is when it did something", () => {
    const order = { status: "created", amount: "1.00", created_at: at(1) }
    const step = { kind: "charge", at: at(3), state: "due", attempts: 0 } as const
    const parts = [
      journeyPart("order", { order, history: [past("e1", "x", at(2))], steps: [step], seen: [seen({ time: at(4) })] }),
    ]
    expect(timesOf(parts)).toEqual([1, 2, 3, 4].map((seconds) => at(seconds).getTime()))
  })
})
