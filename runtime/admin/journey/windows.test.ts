import { expect, it } from "@effect/vitest"
import { windowsAround } from "./windows.ts"

const now = 1_000_000

it("looks around each time and in the last seconds, and joins what overlaps", () => {
  expect(windowsAround([], now)).toEqual([{ from: 998_000, to: 1_005_000 }])
  expect(windowsAround([500_000, 100_000, 505_000], now)).toEqual([
    { from: 98_000, to: 105_000 },
    { from: 498_000, to: 510_000 },
    { from: 998_000, to: 1_005_000 },
  ])
  expect(windowsAround([100_000, 107_000, 107_001], now)[0]).toEqual({ from: 98_000, to: 112_001 })
  expect(windowsAround([100_000, 107_001], now)[0]).toEqual({ from: 98_000, to: 105_000 })
})
