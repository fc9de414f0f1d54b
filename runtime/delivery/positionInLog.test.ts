import { describe, expect, it } from "vitest"
import { lagOf, lossAt, lossOf } from "./positionInLog.ts"
import { beginning } from "./positionTable.ts"

const end = { topic: "order_created", partition: 3, first: 5, next: 9 }
const at = (next: number, reaction = "user.record-order") => ({
  topic: "order_created",
  partition: 3,
  reaction,
  next,
  epoch: 0,
})

describe("A position in the log", () => {
  it.each([
    ["the first record", 5, "none"],
    ["the end", 9, "none"],
    ["the beginning, wherever that is", beginning, "none"],
    ["a record that was pruned", 4, "pruned"],
    ["the record 0, which was pruned", 0, "pruned"],
    ["an offset after the end", 10, "beyond"],
  ] as const)("finds the loss at %s", (_what, next, loss) => {
    expect(lossOf(next, end)).toBe(loss)
  })

  it("names what it loses, for operators", () => {
    expect(lossAt(at(7), end)).toBeUndefined()
    expect(lossAt(at(2), end)).toEqual({
      records: 3,
      text: "3 records of order_created/3 were pruned before user.record-order had seen them",
    })
    expect(lossAt(at(12), end)).toEqual({
      records: 1,
      text: "the log of order_created/3 ends at 9, before the position 12 of user.record-order",
    })
  })
})

describe("The lag of a module", () => {
  const lag = (...nexts: ReadonlyArray<number>) =>
    lagOf(
      [end],
      nexts.map((next, n) => at(next, `user.${n}`)),
    )[0]!.records

  it("is counted from the least position to the end", () => {
    expect(lag(9, 6)).toBe(3)
    expect(lag(9)).toBe(0)
  })

  it("does not count records that were pruned", () => {
    expect(lag(2)).toBe(4)
    expect(lag(beginning)).toBe(4)
  })

  it("is 0 without a position, and after the end", () => {
    expect(lag()).toBe(0)
    expect(lag(12)).toBe(0)
  })

  it("is counted by partition", () => {
    expect(lagOf([end, { ...end, partition: 4 }], [at(6)])).toEqual([
      { topic: "order_created", partition: 3, records: 3 },
      { topic: "order_created", partition: 4, records: 0 },
    ])
  })
})
