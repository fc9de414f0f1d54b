import { execFile } from "node:child_process"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { temporaryFolder } from "../harness/process.ts"

const program = new URL("killedRetry.ts", import.meta.url).pathname

/** How a life ended, and what it said. What is compiled once is kept in the folder, for a life is mostly its start. */
const live = (folder: string, life: number) =>
  new Promise<{ readonly end: unknown; readonly said: string }>((resolve) => {
    const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") }
    execFile(process.execPath, [program, join(folder, "data"), String(life)], { env }, (error, stdout, stderr) =>
      resolve({ end: error === null ? 0 : (error.signal ?? error.code), said: `${stdout}${stderr}`.trim() }),
    )
  })

const wholeTurn = { end: 0, said: "2 took effect in a turn" }

describe("the retry worker, killed by kill -9 between every two statements of its turn", () => {
  it("loses nothing, applies each event once, and keeps the order of the key", { timeout: 300_000 }, async () => {
    using folder = temporaryFolder()
    expect(await live(folder.path, 0)).toEqual(wholeTurn)
    for (let life = 1; ; life++) {
      const last = await live(folder.path, life)
      if (last.end === "SIGKILL" && last.said === "") continue
      expect(last).toEqual(wholeTurn)
      // Begin and commit, what finds and notes three events, and the savepoint of each.
      expect(life).toBeGreaterThan(20)
      return
    }
  })
})
