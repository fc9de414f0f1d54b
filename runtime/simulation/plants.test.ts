import { describe, expect, it } from "vitest"
import { plants } from "./plants.ts"
import { seeds, worldOfTests } from "./worldOfTests.ts"

describe("The simulation", () => {
  const run = worldOfTests()

  // The seed that is known to find it is only tried first: a change of the modules may change what a seed does.
  it.each(plants)("notices by some seed of the tests that $name", async (plant) => {
    const others = Array.from({ length: seeds }, (_, n) => n + 1)
    for (const seed of [plant.foundBy, ...others]) {
      if ((await run(seed, plant)).faults.length > 0) return
    }
    expect.fail(`no seed up to ${seeds} finds it`)
  })
})
