import { Effect, Exit, Layer, Scope } from "effect"
import { afterAll, beforeAll, inject } from "vitest"
import type { Plant } from "./Plant.ts"
import { simulate } from "./simulate.ts"
import { database, makeWorld, type World } from "./World.ts"

/** The tests run the seeds from 1 to this. */
export const seeds = 300

/** Makes a world for the tests of a file, and runs seeds in it. */
export const worldOfTests = () => {
  let world: World
  let scope: Scope.Closeable

  beforeAll(async () => {
    scope = await Effect.runPromise(Scope.make())
    const built = Layer.buildWithScope(database(inject("emptyDatabase")), scope)
    const making = Effect.flatMap(built, (context) => Effect.provideContext(makeWorld, context))
    world = await Effect.runPromise(Scope.provide(making, scope))
  })

  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  return (seed: number, plant?: Plant) => Effect.runPromise(simulate(world, seed, plant))
}
