import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { type Delivery, unseen } from "./Delivery.ts"

const at = (offset: number, reaction = "user.record-order"): Delivery => ({
  reaction,
  source: "/galleria/order",
  event_id: `e${offset}`,
  key: "1",
  record: { topic: "order_created", partition: 3, offset, time: 0, key: "1", value: null, headers: {} },
  isLast: true,
  run: undefined,
  outcome: Effect.succeed({ status: "waiting" }),
})

describe("Deliveries that are not seen yet", () => {
  it("are those from the position of their reaction on", () => {
    const nexts = new Map([
      ["user.record-order order_created/3", 2],
      ["user.learn order_created/3", 1],
    ])
    const all = [at(0), at(1), at(1, "user.learn"), at(2), at(2, "user.learn")]
    expect(unseen(all, nexts)).toEqual([at(1, "user.learn"), at(2), at(2, "user.learn")])
  })

  it("are all where the position is not known", () => {
    expect(unseen([at(0), at(1)], new Map([["user.record-order order_created/4", 9]]))).toEqual([at(0), at(1)])
  })
})
