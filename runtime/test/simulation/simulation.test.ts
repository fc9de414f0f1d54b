import { describe, expect, it } from "vitest"
import { known } from "./seeds.ts"
import { seeds, worldOfTests } from "./worldOfTests.ts"

/** Seeds in one test, which prints the trace of the first that fails. */
const perTest = 25

const ranges = Array.from({ length: seeds / perTest }, (_, n) => ({ first: n * perTest + 1, last: (n + 1) * perTest }))

describe("The modules together, at random", () => {
  const run = worldOfTests()

  const faultsOf = async (seed: number) => {
    const { faults, trace } = await run(seed)
    return faults.length === 0 ? [] : [`seed ${seed}:`, ...trace, ...faults]
  }

  it("end correctly on the seeds that failed once", async () => {
    for (const seed of known) expect(await faultsOf(seed)).toEqual([])
  })

  it.each(ranges)("end correctly on the seeds from $first to $last", async ({ first, last }) => {
    for (let seed = first; seed <= last; seed++) expect(await faultsOf(seed)).toEqual([])
  })

  it("do the same on the same seed", async () => {
    const once = await run(7)
    expect(once.trace.length).toBeGreaterThan(20)
    expect(await run(7)).toEqual(once)
  })
})
