import { describe, expect, it } from "vitest"
import type { Plant } from "./Plant.ts"
import { plants } from "./plants.ts"
import { seeds, worldOfTests } from "./worldOfTests.ts"

describe("The simulation", () => {
  const run = worldOfTests()

  const isFoundBy = async (seed: number, plant: Plant) => {
    const { isComplete, faults } = await run(seed, plant)
    return isComplete && faults.length > 0
  }

  // The known seed is tried first: a change of the modules may change what a seed does.
  it.each(plants)(
    "finds that $name",
    async (plant) => {
      const others = Array.from({ length: seeds }, (_, n) => n + 1)
      for (const seed of [plant.foundBy, ...others]) {
        if (await isFoundBy(seed, plant)) return
      }
      expect.fail(`no seed up to ${seeds} finds it`)
    },
    300_000,
  )

  it("finds nothing on the same seeds without a planted bug", async () => {
    for (const seed of new Set(plants.map(({ foundBy }) => foundBy))) {
      expect((await run(seed, {})).faults).toEqual([])
    }
  })
})
