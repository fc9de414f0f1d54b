import { expect, it } from "vitest"
import { type WalkedJourney, standing } from "./journey.ts"

const journey = (part: Partial<WalkedJourney>): WalkedJourney => ({ events: [], unsent: [], steps: [], ...part })

it("an order stands where something is open, said once though two processes say it", () => {
  const parked = journey({
    unsent: [{ module: "order", type: "order_cancelled" }],
    events: [
      {
        topic: "order_created",
        deliveries: [
          { reaction: "inventory.hold", status: "parked" },
          { reaction: "payment.open", status: "applied" },
          { reaction: "user.record", status: "unknown" },
        ],
      },
    ],
    steps: [
      { module: "payment", kind: "charge", state: "retrying", why: "no answer" },
      { module: "notification", kind: "mail", state: "sent" },
    ],
  })
  expect(standing([parked, journey({ events: parked.events })])).toBe(
    "order_cancelled of order is not on the log; inventory.hold of order_created: parked; charge by payment: retrying, no answer",
  )
})

it("an order whose deliveries and calls are over stands nowhere", () => {
  const deliveries = ["applied", "resolved", "redriven"].map((status) => ({ reaction: "user.record", status }))
  const steps = [{ module: "payment", kind: "charge", state: "successful" }]
  expect(standing([journey({ events: [{ topic: "order_created", deliveries }], steps })])).toBe("nothing is open")
})
