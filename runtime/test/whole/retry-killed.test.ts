import { describe, expect, it } from "vitest"
import { live } from "../harness/life.ts"
import { temporaryFolder } from "../harness/process.ts"

const program = new URL("killedRetry.ts", import.meta.url)

const wholeTurn = { end: 0, said: "2 took effect in a turn" }

describe("the retry worker, killed by kill -9 between every two statements of its turn", () => {
  it("loses nothing, applies each event once, and keeps the order of the key", { timeout: 300_000 }, async () => {
    using folder = temporaryFolder()
    expect(await live(program, folder.path, 0)).toEqual(wholeTurn)
    for (let life = 1; ; life++) {
      const last = await live(program, folder.path, life)
      if (last.end === "SIGKILL" && last.said === "") continue
      expect(last).toEqual(wholeTurn)
      // Begin and commit, what finds and notes three events, and the savepoint of each.
      expect(life).toBeGreaterThan(20)
      return
    }
  })
})
