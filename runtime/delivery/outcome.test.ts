import { describe, expect, it } from "vitest"
import { failureOf } from "./outcome.ts"

const record = {
  topic: "order_created",
  partition: 0,
  time: 0,
  key: "7",
  value: Buffer.from('{"user":{"email":"ann@example.com","name":"Ann"},"items":["LAPTOP001"],"n":7}'),
  headers: { ce_id: "e-1", ce_type: "Ann's type" },
}
const delivery = { reaction: "user.record-order", key: "7", record }
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
      "has no text of the record in its reason",
      delivery,
      {
        ...failed,
        status: "retrying",
        error: `the account of Ann (ann@example.com, once bob@example.com) has no LAPTOP001, as "Ann's type" says; 7 is there`,
      },
      'user.record-order failed (failed): the account of … (…, once …@…) has no …, as "…" says; 7 is there; it is tried again, and later events of its key wait',
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
