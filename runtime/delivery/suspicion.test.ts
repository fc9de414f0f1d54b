import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import type { Delivery } from "./Delivery.ts"
import { makeSuspicions } from "./suspicion.ts"

const first = (event_id: string): Delivery => ({
  reaction: "user.record-order",
  source: "/galleria/order",
  event_id,
  key: "1",
  record: { topic: "order_created", partition: 0, offset: 0, time: 0, key: "1", value: null, headers: {} },
  isLast: true,
  run: undefined,
  outcome: Effect.succeed({ status: "waiting" }),
})

describe("The suspicions of a consumer", () => {
  it("hold an event for suspect at its fifth failure in a row, and no other", () => {
    const { add, isSuspect } = makeSuspicions()
    for (let n = 0; n < 4; n++) add(first("e1"))
    expect(isSuspect(first("e1"))).toBe(false)
    add(first("e1"))
    expect([isSuspect(first("e1")), isSuspect(first("e2"))]).toEqual([true, false])
  })

  it("are gone after a success", () => {
    const { add, clear, isSuspect } = makeSuspicions()
    for (let n = 0; n < 5; n++) add(first("e1"))
    clear(first("e1"))
    expect(isSuspect(first("e1"))).toBe(false)
  })

  it("are bounded", () => {
    const { add, isSuspect } = makeSuspicions()
    for (let n = 0; n < 5; n++) add(first("e0"))
    for (let n = 1; n <= 1_000; n++) add(first(`e${n}`))
    expect(isSuspect(first("e0"))).toBe(false)
  })
})
