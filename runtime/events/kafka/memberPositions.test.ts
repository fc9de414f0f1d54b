import { describe, expect, it } from "vitest"
import { passedBy } from "./memberPositions.ts"

/** A batch without a record for the member. */
const passed = (firstOffset: string | null, lastOffset: string) => ({
  topic: "t",
  partition: 3,
  batchSize: 0,
  firstOffset,
  lastOffset,
})

describe("A batch without a record", () => {
  it("moves the position behind it", () => {
    expect(passedBy(passed("7", "9"), 7)).toEqual({ topic: "t", partition: 3, from: 7, next: 10 })
    expect(passedBy(passed("5", "9"), 7)).toEqual({ topic: "t", partition: 3, from: 7, next: 10 })
  })

  it.each([
    ["has records", { ...passed("7", "9"), batchSize: 1 }, 7],
    ["is empty", passed(null, "-1"), 7],
    ["is of a partition that the member does not have", passed("7", "9"), undefined],
    ["begins after the position", passed("8", "9"), 7],
    ["ends before the position", passed("3", "6"), 7],
  ])("moves nothing when it %s", (_what, batch, at) => {
    expect(passedBy(batch, at)).toBeUndefined()
  })
})
