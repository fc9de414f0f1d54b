import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

/** Galleria as people run it, in a process and a data folder of its own, both gone when it is disposed of. */
export interface Server extends AsyncDisposable {
  readonly port: number
  readonly pid: number
  /** From its spawning until `/readyz` was 200. */
  readonly startMillis: number
  /** CPU time that the process has used so far, in ms; undefined where the system does not report it. */
  readonly cpuMillis: () => number | undefined
}

const mostStartMillis = 120_000

export const startServer = async (options: {
  readonly modules: ReadonlyArray<string>
  /** A folder for the CPU profile of the process; undefined: none is made. */
  readonly profiles?: string | undefined
  /** A data folder that stays; undefined: a new one, gone afterwards. */
  readonly dataDir?: string
  /** Settings more. */
  readonly env?: Readonly<Record<string, string>>
}): Promise<Server> => {
  const { modules, profiles } = options
  const folder = options.dataDir ?? (await mkdtemp(join(tmpdir(), "galleria-bench-")))
  const port = await freePort()
  const flags = profiles === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profiles}`]
  const [cache, main] = ["../../compileCache.js", "../../main.ts"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  )
  const began = performance.now()
  const child = spawn(process.execPath, [...flags, "--expose-gc", "--import", cache!, main!, ...modules], {
    // Nothing of the caller's environment: a DATABASE_URL there would make another test of it.
    env: {
      PATH: process.env["PATH"],
      HOST: "127.0.0.1",
      PORT: `${port}`,
      DATA_DIR: folder,
      LOG_LEVEL: "warn",
      ...options.env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => (output = `${output}${text}`.slice(-4_000)))

  const stop = async () => {
    const alive = await end(child)
    if (options.dataDir === undefined) await rm(folder, { recursive: true, force: true })
    if (!alive) throw new Error(`the server had ended by itself (${child.signalCode ?? child.exitCode}):\n${output}`)
  }
  try {
    await ready(port, child)
  } catch (error) {
    await stop().catch(() => {})
    throw new Error(`the server did not start:\n${output}`, { cause: error })
  }
  const startMillis = performance.now() - began
  return { port, pid: child.pid!, startMillis, cpuMillis: () => cpuMillisOf(child.pid!), [Symbol.asyncDispose]: stop }
}

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, "close")
  return port
}

const ready = async (port: number, child: ChildProcess) => {
  for (const until = Date.now() + mostStartMillis; Date.now() < until; await sleep(10)) {
    if (child.exitCode !== null) throw new Error(`it ended with code ${child.exitCode}`)
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    if (answer?.status === 200) return
  }
  throw new Error(`it was not ready within ${mostStartMillis / 1_000} s`)
}

/** Asks it to stop, and makes it when it does not; false when it had ended before. */
const end = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return false
  const ended = once(child, "exit")
  child.kill("SIGTERM")
  const late = setTimeout(() => child.kill("SIGKILL"), 30_000)
  await ended
  clearTimeout(late)
  return true
}

/** User and system time of a process, from Linux' proc(5); its clock ticks are 10 ms. */
export const cpuMillisOf = (pid: number): number | undefined => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return undefined
  }
}

/** Memory of a process that is in RAM, in MB, from Linux' proc(5); undefined where the system does not report it. */
export const residentMegabytes = (pid: number): number | undefined => {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024
  } catch {
    return undefined
  }
}
