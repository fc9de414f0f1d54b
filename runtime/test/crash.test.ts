import { describe, expect, it } from "vitest"
import { chaos } from "./chaos.ts"

/** Enough for twelve kills under load; `npm run chaos` goes on for hundreds. */
const kills = 14

describe("Galleria under kill -9", () => {
  it("keeps what it acknowledged, and lets every event take effect exactly once", { timeout: 300_000 }, async () => {
    const seed = Date.now() % 1_000_000
    const say = (line: string) => void process.stdout.write(`${line}\n`)
    say(`the moments of these kills again: npm run chaos -- --kills ${kills} --seed ${seed}`)

    const outcome = await chaos({ kills, seed, folderEvery: 5, say })

    expect(outcome.faults).toEqual([])
    expect(outcome.kills).toEqual({ first: 2, load: 12, start: 2 })
    expect(outcome.asked).toBeGreaterThan(50)
    expect(outcome.paid).toBeGreaterThan(0)
  })
})
