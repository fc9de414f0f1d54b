import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll } from "vitest"
import { freePort } from "./freePort.ts"
import { freeze } from "./freeze.ts"
import { startGuard } from "./guard.ts"

/** A real Redis on this machine, for its starter only. It keeps nothing over a crash. */
export interface RedisServer {
  readonly url: string
  /** Ends it at once: connections are cut. */
  readonly crash: () => Promise<void>
  readonly resume: () => Promise<void>
  /** Stops its process: connections stay, and nothing is answered. */
  readonly freeze: () => void
  readonly thaw: () => void
  readonly stop: () => Promise<void>
}

/** Ends the server and removes its folder. */
const cleaning = `cat; kill -CONT "$1"; kill -KILL "$1"; rm -rf "$2"`

const answers = async (port: number) => {
  const socket = connect(port, "127.0.0.1")
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Starts one on a free port. It is gone when it is stopped, and when this process ends, even by kill -9. */
export const startRedis = async (settings: ReadonlyArray<string> = []): Promise<RedisServer> => {
  const port = await freePort()
  const launch = async () => {
    const dir = mkdtempSync(join(tmpdir(), "galleria-redis-"))
    const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir]
    const server = spawn("redis-server", [...flags, ...settings], { stdio: "ignore" })
    await once(server, "spawn")
    const guard = startGuard(cleaning, String(server.pid), dir)
    while (!(await answers(port))) {
      if (server.exitCode !== null) throw new Error(`redis-server ended with code ${server.exitCode}`)
      await sleep(20)
    }
    return { server, guard }
  }
  let running = await launch()
  const crash = async () => {
    const gone = running.server.exitCode === null && running.server.signalCode === null && once(running.server, "exit")
    await running.guard.release()
    await gone
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    crash,
    resume: async () => {
      running = await launch()
    },
    freeze: () => freeze(running.server.pid!),
    thaw: () => void running.server.kill("SIGCONT"),
    stop: crash,
  }
}

/**
 * A Redis for this test file, stopped after it. Where there is no `redis-server` it is undefined, which one loud line
 * says, and with `CI=true` it is an error.
 */
export const ownRedis = async (settings: ReadonlyArray<string> = []): Promise<RedisServer | undefined> => {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" })
  } catch (error) {
    if (process.env["CI"] === "true") throw new Error("no redis-server for the tests that need one", { cause: error })
    process.stderr.write(
      "\n!!! NOT TESTED WITH REDIS: there is no redis-server here (Debian's package redis-server)\n\n",
    )
    return undefined
  }
  const server = await startRedis(settings)
  afterAll(server.stop)
  return server
}
