import { Effect, Exit, Layer, Scope } from "effect"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { plants } from "./plants.ts"
import { known } from "./seeds.ts"
import { simulate } from "./simulate.ts"
import { database, makeWorld, type World } from "./World.ts"

/** Seeds that are run each time, after those that once failed. */
const seeds = 300

/** Seeds in one test: it fails with the trace of the first that fails. */
const perTest = 25

const ranges = Array.from({ length: seeds / perTest }, (_, n) => ({ first: n * perTest + 1, last: (n + 1) * perTest }))

let world: World
let scope: Scope.Closeable

beforeAll(async () => {
  scope = await Effect.runPromise(Scope.make())
  const built = Layer.buildWithScope(database(inject("emptyDatabase")), scope)
  const making = Effect.flatMap(built, (context) => Effect.provideContext(makeWorld, context))
  world = await Effect.runPromise(Scope.provide(making, scope))
})

afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const faultsOf = async (seed: number) => {
  const { faults, trace } = await Effect.runPromise(simulate(world, seed))
  return faults.length === 0 ? [] : [`seed ${seed}:`, ...trace, ...faults]
}

describe("The modules together, at random", () => {
  it("end right on the seeds that failed once", async () => {
    for (const seed of known) expect(await faultsOf(seed)).toEqual([])
  })

  it.each(ranges)("end right on the seeds from $first to $last", async ({ first, last }) => {
    for (let seed = first; seed <= last; seed++) expect(await faultsOf(seed)).toEqual([])
  })

  it("are the same again on the same seed", async () => {
    const once = await Effect.runPromise(simulate(world, 7))
    expect(await Effect.runPromise(simulate(world, 7))).toEqual(once)
  })

  it.each(plants)("are seen to fail when $name", async (plant) => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { faults } = await Effect.runPromise(simulate(world, seed, plant))
      if (faults.length > 0) return
    }
    expect.fail(`no seed up to ${seeds} finds it`)
  })
})
