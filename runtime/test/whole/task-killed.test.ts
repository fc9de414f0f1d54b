import { describe, expect, it } from "vitest"
import { live } from "../harness/life.ts"
import { temporaryFolder } from "../harness/process.ts"

const program = new URL("killedTask.ts", import.meta.url)

const wholeTurn = (life: number) => ({ end: 0, said: `${life}.made was done in a turn` })

describe("The worker of tasks under kill -9", () => {
  it(
    "makes each call that was decided on once, and brings back as unknown what it cannot know",
    { timeout: 600_000 },
    async () => {
      using folder = temporaryFolder()
      expect(await live(program, folder.path, 0)).toEqual(wholeTurn(0))
      for (let life = 1; ; life++) {
        const last = await live(program, folder.path, life)
        if (last.end === "SIGKILL" && last.said === "") continue
        expect(last).toEqual(wholeTurn(life))
        // The decision, the batch that fails, each row by itself, two calls, and their results.
        expect(life).toBeGreaterThan(25)
        return
      }
    },
  )
})
