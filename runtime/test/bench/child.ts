import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { cpuMillisOf } from "./server.ts"

/** A program of this folder that serves on a port of its own, started as Galleria is, for comparison. Gone when it goes out of scope. */
export interface Child extends AsyncDisposable {
  readonly port: number
  readonly pid: number
  /** From its spawning until it said its port. */
  readonly startMillis: number
  readonly cpuMillis: () => number | undefined
}

export const startChild = async (program: string, ...args: ReadonlyArray<string>): Promise<Child> => {
  const [cache, path] = ["../../compileCache.js", program].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  const began = performance.now()
  const child = fork(path!, [...args], { env: { PATH: process.env["PATH"] }, execArgv: ["--import", cache!] })
  const ended = once(child, "exit")
  const [port] = await Promise.race([
    once(child, "message"),
    ended.then(([code]) => Promise.reject(new Error(`${program} ended with code ${code}`))),
  ])
  const pid = child.pid!
  return {
    port,
    pid,
    startMillis: performance.now() - began,
    cpuMillis: () => cpuMillisOf(pid),
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}
