import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { freeze } from "./freeze.ts"

/** Eight threads that never wait. */
const busy = `
  const { Worker } = require("node:worker_threads")
  const loop = 'require("node:worker_threads").parentPort.postMessage(0); for (;;);'
  let started = 0
  for (let n = 0; n < 8; n++) {
    new Worker(loop, { eval: true }).on("message", () => ++started === 8 && console.log("started"))
  }`

/** For how long each thread ran, in nanoseconds. */
const ran = (pid: number) =>
  readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]),
  )

describe("freeze", () => {
  it("returns once no thread of the process runs", async () => {
    const child = spawn(process.execPath, ["-e", busy], { stdio: ["ignore", "pipe", "inherit"] })
    try {
      await once(child.stdout, "data")
      for (let n = 0; n < 20; n++) {
        freeze(child.pid!)
        const frozen = ran(child.pid!)
        await sleep(10)
        expect(ran(child.pid!)).toEqual(frozen)
        child.kill("SIGCONT")
        await sleep(5)
      }
    } finally {
      child.kill("SIGKILL")
    }
  })

  it("leaves alone a process that has ended", async () => {
    const child = spawn("true")
    await once(child, "exit")
    freeze(child.pid!)
  })
})
