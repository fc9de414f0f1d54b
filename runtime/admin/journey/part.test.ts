import { describe, expect, it } from "@effect/vitest"
import { OrderCreated } from "../../../modules/order/contract/events.ts"
import { UserCreated } from "../../../modules/user/contract/events.ts"
import { isAbout, namesOrder, seenOf, stepOf } from "./part.ts"

const at = new Date("2026-01-02T03:04:05Z")
const due = new Date("2026-01-02T03:05:05Z")

describe("a step", () => {
  const task = { name: "payment.charge", id: "7" }
  const step = { kind: "charge", at, state: "waiting", task } as const
  const row = { ...task, due, attempts: 2, error: "no answer", state: "retrying" } as const

  it("is as the module has it once its task is done", () => {
    expect(stepOf(step, [])).toEqual({ kind: "charge", at, state: "waiting", attempts: 0 })
    expect(stepOf(step, [{ ...row, id: "8" }])).toEqual({ kind: "charge", at, state: "waiting", attempts: 0 })
  })

  it("has the state, attempts, error and next attempt of its task", () => {
    const { task: _, ...shown } = step
    expect(stepOf(step, [row])).toEqual({
      ...shown,
      state: "retrying",
      attempts: 2,
      next_attempt_at: due,
      why: "no answer",
    })
    expect(stepOf(step, [{ ...row, state: "called", error: null }])).toEqual({ ...shown, state: "called", attempts: 2 })
  })

  it("has the end of a hold, whose task ends it", () => {
    expect(stepOf({ kind: "hold", at, state: "held", task }, [{ ...row, attempts: 0 }])).toEqual({
      kind: "hold",
      at,
      state: "held",
      until: due,
      attempts: 0,
    })
  })
})

describe("an event of an order", () => {
  const record = (data: unknown, headers: Readonly<Record<string, string>> = {}) => ({
    topic: "order_created",
    partition: 1,
    offset: 5,
    key: "3",
    time: at.getTime(),
    headers,
    value: Buffer.from(JSON.stringify(data)),
  })
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
  const headers = {
    ce_specversion: "1.0",
    ce_id: "e1",
    ce_source: "/galleria/order",
    ce_type: "order_created",
    ce_subject: "7",
    traceparent,
  }

  it("is a record whose data name the order", () => {
    expect(seenOf(record({ order_id: 7 }, headers), 7)).toEqual({
      topic: "order_created",
      partition: 1,
      offset: 5,
      time: at,
      id: "e1",
      source: "/galleria/order",
      subject: "7",
      key: "3",
      data: { order_id: 7 },
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    })
    expect(seenOf(record({ order_id: 8 }, headers), 7)).toBeUndefined()
    expect(seenOf(record([7]), 7)).toBeUndefined()
    expect(seenOf({ ...record({}), value: null }, 7)).toBeUndefined()
    expect(seenOf(record({ order_id: "7" }), 7)).toMatchObject({ source: "/foreign/order_created", trace_id: null })
  })

  it("is of a type that names an order", () => {
    expect([OrderCreated, UserCreated].map(namesOrder)).toEqual([true, false])
    expect([{ order_id: 7 }, { order_id: 70 }, {}, null, "7"].map((data) => isAbout(data, 7))).toEqual([
      true,
      false,
      false,
      false,
      false,
    ])
  })
})
