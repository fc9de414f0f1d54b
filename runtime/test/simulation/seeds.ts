import { readFileSync, writeFileSync } from "node:fs"

const file = new URL("seeds.json", import.meta.url)

/** The seeds that failed once, oldest first: they are run before all others. */
export const known: ReadonlyArray<number> = JSON.parse(readFileSync(file, "utf8"))

/** Adds a seed to those that failed. */
export const remember = (seed: number): void => {
  const seeds: ReadonlyArray<number> = JSON.parse(readFileSync(file, "utf8"))
  if (!seeds.includes(seed)) writeFileSync(file, `${JSON.stringify([...seeds, seed])}\n`)
}
