import { describe, expect, it } from "vitest"
import { canStartKafka } from "../harness/kafka.ts"
import { canStartPostgres } from "../harness/postgresServer.ts"
import { storm } from "./storm.ts"

const possible = (await canStartKafka()) && (await canStartPostgres())

/** `npm run chaos -- --shape production` goes on until there are 5,000 orders. */
describe.runIf(possible)("Galleria in a storm", () => {
  it(
    "keeps all it said while database, broker and processes go down again and again",
    { timeout: 300_000 },
    async () => {
      const seed = Date.now() % 1_000_000
      const say = (line: string) => void process.stdout.write(`${line}\n`)
      say(`the moments of this storm again: npm run chaos -- --shape production --rounds 4 --seed ${seed}`)

      const { faults, ...weather } = await storm({ orders: 5_000, rounds: 4, seed, say })

      expect(faults).toEqual([])
      expect(weather.orders).toBeGreaterThan(50)
      expect(weather.kills).toBeGreaterThanOrEqual(4)
      expect([weather.databaseRestarts, weather.brokerRestarts]).toEqual([2, 2])
    },
  )
})
