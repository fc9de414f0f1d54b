import { describe, expect, it } from "vitest"
import { canStartKafka } from "../harness/kafka.ts"
import { canStartPostgres } from "../harness/postgresServer.ts"
import { soak } from "./soak.ts"

const possible = (await canStartKafka()) && (await canStartPostgres())

/** `npm run chaos -- --soak 60m --shape production` runs for an hour. */
describe.runIf(possible)("Galleria in a soak", () => {
  it("keeps its promises through every spell, and takes up what it did before", { timeout: 600_000 }, async () => {
    const seed = Date.now() % 1_000_000
    const say = (line: string) => void process.stdout.write(`${line}\n`)
    say(`to repeat this soak: npm run chaos -- --soak 2m --shape production --seed ${seed}`)

    const { faults, ...soaked } = await soak({ millis: 120_000, seed, say })

    expect(faults).toEqual([])
    expect(soaked.spells).toBeGreaterThanOrEqual(7)
    expect(soaked.orders).toBeGreaterThan(100)
    expect(soaked.failed).toBeGreaterThan(5)
  })
})
