import { describe, expect, it } from "vitest"
import { inOneProcess, overKafka, shapes } from "../harness/deployment.ts"
import { chaos } from "./chaos.ts"

/**
 * `npm run chaos` goes on for hundreds, and on PostgreSQL too, where `storm.test.ts` kills processes here. Over Kafka each
 * costs the ten seconds after which its group forgets a member.
 */
const forms = [
  {
    shape: inOneProcess,
    command: "npm run chaos --",
    kills: 14,
    auditEvery: 5,
    expected: { first: 2, load: 12, start: 2 },
  },
  {
    shape: overKafka,
    command: "npm run chaos -- --shape kafka",
    kills: 5,
    auditEvery: 3,
    expected: { first: 2, load: 4, start: 1 },
  },
]
const possible = await shapes()

describe.for(forms.filter(({ shape }) => possible.includes(shape)))(
  "Galleria under kill -9, $shape.name",
  ({ command, expected, ...form }) => {
    it("keeps what it acknowledged, and lets every event take effect exactly once", { timeout: 600_000 }, async () => {
      const seed = Date.now() % 1_000_000
      const say = (line: string) => void process.stdout.write(`${line}\n`)
      say(
        `the moments of these kills again: ${command} --kills ${form.kills} --audit-every ${form.auditEvery} --seed ${seed}`,
      )

      const outcome = await chaos({ ...form, seed, say })

      expect(outcome.faults).toEqual([])
      expect(outcome.kills).toEqual(expected)
      expect(outcome.asked).toBeGreaterThan(50)
      expect(outcome.paid).toBeGreaterThan(0)
    })
  },
)
