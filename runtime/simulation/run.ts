/**
 * `npm run simulate [-- --seeds N] [--seed S] [--plants]`: runs all modules in one process on N seeds (1000), the known
 * ones first and then from a random one on, or from `--seed`; `--seed` alone is that one. A seed that fails is printed
 * with its trace, and joins `seeds.json`. `--plants` says instead which of N seeds, from 1 or `--seed` on, finds each planted mistake.
 *
 * Exits with 1 when a seed failed, or a planted mistake was not found.
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

const report = ({ seed, trace, faults }: Outcome) =>
  print(
    [`\nseed ${seed} fails:`, ...trace.map((what, n) => `${String(n + 1).padStart(4)}. ${what}`), ...faults].join("\n"),
  )

const runSeeds = (world: World, seeds: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const began = performance.now()
    let failed = 0
    for (const [n, seed] of seeds.entries()) {
      const outcome = yield* simulate(world, seed)
      if (outcome.faults.length > 0) {
        failed++
        report(outcome)
        remember(seed)
      }
      if ((n + 1) % 100 === 0) print(`${n + 1} seeds, ${failed} failed`)
    }
    const seconds = (performance.now() - began) / 1_000
    print(`${seeds.length} seeds in ${seconds.toFixed(0)} s, ${failed} failed`)
    return failed === 0
  })

const findPlants = (world: World, first: number, count: number) =>
  Effect.gen(function* () {
    let missing = plants
    for (let seed = first; seed < first + count && missing.length > 0; seed++) {
      for (const plant of missing) {
        if ((yield* simulate(world, seed, plant)).faults.length === 0) continue
        print(`${plant.name}: found by seed ${seed}`)
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
