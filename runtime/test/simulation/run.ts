/**
 * `npm run simulate [-- --seeds N] [--seed S] [--plants]`: runs all modules in one process.
 *
 * - `--seeds N`: the seeds that failed before, and N others (1000) from a random one on.
 * - `--seed S`: this seed, with its trace; with `--seeds N`, the N seeds from it on.
 * - `--plants`: for each planted bug, the first of N seeds (300), from `--seed` (1) on, that finds it.
 *
 * A seed that fails is printed with its trace, and is added to `seeds.json`. Exits with 1 when a seed failed, or a
 * planted bug was not found.
 */
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { plants } from "./plants.ts"
import { known, remember } from "./seeds.ts"
import { type Outcome, simulate } from "./simulate.ts"
import { database, makeWorld, type World } from "./World.ts"

const print = (text: string) => void process.stdout.write(`${text}\n`)

const number = (text: string | undefined, name: string) => {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  throw new Error(`--${name} is not a whole number: ${text}`)
}

const traceOf = ({ trace }: Outcome) => trace.map((step, n) => `${String(n + 1).padStart(4)}. ${step}`)

/** Runs seeds, and says whether none failed. */
const runSeeds = (world: World, seeds: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const began = performance.now()
    let failed = 0
    for (const [n, seed] of seeds.entries()) {
      const outcome = yield* simulate(world, seed)
      const isRight = outcome.faults.length === 0
      if (!isRight || seeds.length === 1) {
        print([`\nseed ${seed}${isRight ? "" : " fails"}:`, ...traceOf(outcome), ...outcome.faults].join("\n"))
      }
      if (!isRight) {
        failed++
        remember(seed)
      }
      if ((n + 1) % 100 === 0) print(`${n + 1} seeds, ${failed} failed`)
    }
    const seconds = (performance.now() - began) / 1_000
    print(`${seeds.length} seeds, ${failed} failed; ${(seeds.length / seconds).toFixed(1)} a second`)
    return failed === 0
  })

/** Prints which seed finds each planted bug, and says whether all were found. */
const findPlants = (world: World, first: number, count: number) =>
  Effect.gen(function* () {
    let missing = plants
    for (let seed = first; seed < first + count && missing.length > 0; seed++) {
      for (const plant of missing) {
        const { isComplete, faults } = yield* simulate(world, seed, plant)
        if (!isComplete || faults.length === 0) continue
        print(`${plant.name}: seed ${seed}: ${faults[0]}`)
        missing = missing.filter((one) => one !== plant)
      }
    }
    for (const { name } of missing) print(`${name}: not found by ${count} seeds`)
    return missing.length === 0
  })

const main = Effect.gen(function* () {
  const { values } = parseArgs({
    options: { seeds: { type: "string" }, seed: { type: "string" }, plants: { type: "boolean", default: false } },
  })
  const seed = number(values.seed, "seed")
  const seeds = number(values.seeds, "seeds")
  const world = yield* makeWorld
  if (values.plants) return yield* findPlants(world, seed ?? 1, seeds ?? 300)
  const first = seed ?? Math.floor(Math.random() * 1_000_000_000)
  const rest = Array.from({ length: seeds ?? (seed === undefined ? 1_000 : 1) }, (_, n) => first + n)
  return yield* runSeeds(world, seed === undefined ? [...known, ...rest] : rest)
})

const isRight = await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(database())))
process.exit(isRight ? 0 : 1)
