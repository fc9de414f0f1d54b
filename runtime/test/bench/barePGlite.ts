import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Shape } from "./orders.ts"

/** Orders of one shape for that long, and at least one. */
export interface Ask {
  readonly shape: Shape
  readonly millis: number
}

export interface Done {
  readonly orders: number
  readonly millis: number
  readonly cpuMillis: number
}

/**
 * What Galleria's orders are compared with: the statement that places one order, prepared, issued one by one through
 * PGlite's own API, on disk, in a process of its own without HTTP and without Effect. The bytes are those that Galleria
 * sends, so that it can't be another statement.
 */
export interface BarePGlite extends AsyncDisposable {
  /** One ask at a time; the next waits. */
  readonly place: (ask: Ask) => Promise<Done>
}

/** On a data folder that stays; undefined: a new one, gone afterwards. */
export const startBarePGlite = async (dataDir?: string): Promise<BarePGlite> => {
  const folder = dataDir ?? (await mkdtemp(join(tmpdir(), "galleria-bench-")))
  const program = fileURLToPath(new URL("barePGliteProcess.ts", import.meta.url))
  const child = fork(program, [folder], { env: { PATH: process.env["PATH"] }, execArgv: [] })
  const ended = once(child, "exit")
  const answer = async () => {
    const [said] = await Promise.race([
      once(child, "message"),
      ended.then(([code]) => Promise.reject(new Error(`bare PGlite ended with code ${code}`))),
    ])
    return said
  }
  const stop = async () => {
    if (child.connected) child.disconnect()
    await ended
    if (dataDir === undefined) await rm(folder, { recursive: true, force: true })
  }
  try {
    await answer()
  } catch (error) {
    await stop()
    throw error
  }
  let last: Promise<unknown> = Promise.resolve()
  return {
    place: (ask) => {
      const done = last.then((): Promise<Done> => {
        child.send(ask)
        return answer()
      })
      last = done.catch(() => {})
      return done
    },
    [Symbol.asyncDispose]: stop,
  }
}
