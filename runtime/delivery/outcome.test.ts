import { describe, expect, it } from "vitest"
import { failureOf } from "./outcome.ts"

const delivery = { reaction: "user.record-order", key: "7", record: { topic: "order_created" } }
const failed = { attempts: 1, reason: "failed", error: "the projection is locked", due: null }

describe("The log of an event that failed", () => {
  it.each([
    [
      "says why, and that its key waits",
      delivery,
      { ...failed, status: "retrying" },
      "user.record-order failed (failed): the projection is locked; it is tried again, and later events of its key wait",
    ],
    [
      "speaks of no key where it has none",
      { ...delivery, key: null },
      { ...failed, status: "parked" },
      "user.record-order failed (failed): the projection is locked; it is parked",
    ],
    [
      "says of a record that it cannot be read, and holds nothing back",
      { ...delivery, reaction: "*", key: null },
      { ...failed, status: "parked", reason: "malformed", error: "the value is not JSON" },
      "cannot read a record of order_created (malformed): the value is not JSON; it is parked",
    ],
    [
      "has no value of the data in it",
      delivery,
      { ...failed, status: "retrying", reason: "schema", error: 'expected a number, got "ann@example.com"' },
      "user.record-order failed (schema): the data do not match the schema of order_created; it is tried again, and later events of its key wait",
    ],
    [
      "has no colon where there is nothing more to say",
      delivery,
      { ...failed, status: "retrying", reason: "postponed", error: "" },
      "user.record-order failed (postponed); it is tried again, and later events of its key wait",
    ],
  ] as const)("%s", (_what, of, outcome, text) => {
    expect(failureOf(of, outcome)).toBe(text)
  })
})
