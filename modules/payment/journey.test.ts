import { describe, expect, it } from "@effect/vitest"
import { partOf } from "./journey.ts"

const opened = new Date("2026-01-02T03:04:05Z")
const chargeable = new Date("2026-01-02T03:04:06Z")
const payment = {
  status: "pending",
  user_id: 3n,
  reason: null,
  go: false,
  stop: null,
  call: "no",
  created_at: opened,
  chargeable_at: null,
  failed_at: null,
} as const

const charge = { kind: "charge", task: { name: "payment.charge", id: "7" } }

describe("the charge of an order", () => {
  it("waits for the stock", () => {
    expect(partOf(7, payment)).toEqual({
      user_id: 3,
      steps: [{ ...charge, at: opened, state: "waiting", why: "the stock is not held yet" }],
    })
  })

  it("begins when it may be made, and ends as the payment does", () => {
    const going = { ...payment, go: true, chargeable_at: chargeable }
    expect(partOf(7, going).steps).toEqual([{ ...charge, at: chargeable, state: "waiting" }])
    const declined = { ...going, status: "failed", reason: "card_declined", failed_at: chargeable } as const
    expect(partOf(7, declined).steps).toEqual([{ ...charge, at: chargeable, state: "failed", why: "card_declined" }])
  })

  it("is followed by its refund until that is made", () => {
    const stopped = {
      ...payment,
      status: "successful",
      go: true,
      chargeable_at: chargeable,
      call: "charged",
      stop: "hold_expired",
    } as const
    expect(partOf(7, stopped).steps?.map(({ kind, state }) => [kind, state])).toEqual([
      ["charge", "successful"],
      ["refund", "waiting"],
    ])
    const refunded = { ...stopped, status: "refunded", reason: "hold_expired" } as const
    expect(partOf(7, refunded).steps?.map(({ kind, state }) => [kind, state])).toEqual([["charge", "refunded"]])
  })
})
