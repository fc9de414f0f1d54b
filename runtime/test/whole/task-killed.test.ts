import { execFile } from "node:child_process"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { temporaryFolder } from "../harness/process.ts"

const program = new URL("killedTask.ts", import.meta.url).pathname

/** How a life ended, and what it said. What is compiled once is kept in the folder, for a life is mostly its start. */
const live = (folder: string, life: number) =>
  new Promise<{ readonly end: unknown; readonly said: string }>((resolve) => {
    const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") }
    execFile(process.execPath, [program, join(folder, "data"), String(life)], { env }, (error, stdout, stderr) =>
      resolve({ end: error === null ? 0 : (error.signal ?? error.code), said: `${stdout}${stderr}`.trim() }),
    )
  })

const wholeTurn = (life: number) => ({ end: 0, said: `${life}.made was done in a turn` })

describe("The worker of tasks under kill -9", () => {
  it(
    "makes each call that was decided on once, and brings back as unknown what it cannot know",
    { timeout: 600_000 },
    async () => {
      using folder = temporaryFolder()
      expect(await live(folder.path, 0)).toEqual(wholeTurn(0))
      for (let life = 1; ; life++) {
        const last = await live(folder.path, life)
        if (last.end === "SIGKILL" && last.said === "") continue
        expect(last).toEqual(wholeTurn(life))
        // The decision, the batch that fails, each row by itself, two calls, and their results.
        expect(life).toBeGreaterThan(25)
        return
      }
    },
  )
})
