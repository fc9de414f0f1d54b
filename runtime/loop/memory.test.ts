import { describe, expect, it } from "vitest"
import { makeLook } from "./memory.ts"

const megabytes = 1024 * 1024

/** A process that works and grows as a test says. A collection leaves 100 MB. */
const processThat = () => {
  const state = { utilization: 0, megabytes: 170, collections: 0 }
  const look = makeLook({
    utilization: () => state.utilization,
    resident: () => state.megabytes * megabytes,
    collect: () => {
      state.collections++
      state.megabytes = 100
    },
  })
  const looks = (count: number, utilization: number) => {
    state.utilization = utilization
    for (let n = 0; n < count; n++) look()
    return state.collections
  }
  return { state, looks }
}

describe("A process at rest", () => {
  it("collects its garbage after three looks, once", () => {
    const { looks } = processThat()
    expect(looks(2, 0.01)).toBe(0)
    expect(looks(1, 0.01)).toBe(1)
    expect(looks(100, 0.01)).toBe(1)
  })

  it("collects again when it has grown by 32 MB", () => {
    const { state, looks } = processThat()
    looks(3, 0.01)
    state.megabytes = 131
    expect(looks(10, 0.01)).toBe(1)
    state.megabytes = 132
    expect(looks(1, 0.01)).toBe(2)
  })

  it("is one that works for less than 3 % of the time, in three looks in a row", () => {
    const { looks } = processThat()
    expect(looks(100, 0.03)).toBe(0)
    for (let n = 0; n < 10; n++) {
      looks(2, 0.01)
      expect(looks(1, 0.5)).toBe(0)
    }
    expect(looks(3, 0.02)).toBe(1)
  })
})
