import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { get, type IncomingMessage } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { freeze } from "./freeze.ts"
import { startGuard } from "./guard.ts"

/** A line of the log, which the child writes as JSON. */
export interface LogRecord {
  readonly timestamp: string
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Answer<Body> {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
}

export interface Options {
  readonly dataDir: string
  /** The modules to run, as `npm start -- user` names them. */
  readonly modules?: ReadonlyArray<string>
  /** The folder of the program: this one unless it is given. */
  readonly root?: string
  /** The script of package.json that runs it; unset: its entry point alone, without npm. */
  readonly script?: "start" | "dev"
  /** Settings; nothing else of the environment gets in, but for where programs and homes are. */
  readonly env?: Readonly<Record<string, string>>
}

/** Galleria as a child process, through its real entry point. It is killed when it goes out of scope (`await using`). */
export interface Galleria extends AsyncDisposable {
  readonly pid: number
  /** What it has logged so far. */
  readonly records: ReadonlyArray<LogRecord>
  /** All that it has written so far, to standard output and error. */
  readonly output: () => string
  /** What it wrote to standard error. */
  readonly errors: () => string
  /** Where it listens, known once it says so; rejects when it ends before. */
  readonly url: Promise<string>
  /** Succeeds when `/readyz` is 200. */
  readonly ready: () => Promise<void>
  readonly kill: (signal: NodeJS.Signals) => void
  readonly exit: Promise<Exit>
  /** Sends the signal and awaits the end. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<Exit>
  /** Sends a request with a JSON body and reads the JSON of the answer; rejects when there is no whole answer. */
  readonly call: <Body = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answer<Body>>
}

const children = new Set<ChildProcess>()
const folders = new Set<string>()
const disks = new Set<string>()

/** Nothing outlives this process, whichever way it ends: see also `guard`. */
const sweep = () => {
  for (const child of children) child.kill("SIGKILL")
  for (const folder of folders) remove(folder)
}
const remove = (folder: string) => {
  if (disks.has(folder)) spawnSync("umount", ["--lazy", folder])
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
}
process.once("exit", sweep)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1))

/** Runs in the child: when this process is gone, even by kill -9, so is the child, for its standard input ends. */
const guard = `data:text/javascript,${encodeURIComponent(
  `process.stdin.on("end", () => process.kill(process.pid, "SIGKILL")).on("error", () => {}).resume().unref()`,
)}`

/** A temporary folder, removed when it goes out of scope (`using`): empty, or a copy of the folder `from`. */
export const temporaryFolder = (from?: string) => {
  const path = mkdtempSync(join(tmpdir(), "galleria-"))
  folders.add(path)
  if (from !== undefined) cpSync(from, path, { recursive: true })
  const dispose = () => {
    remove(path)
    folders.delete(path)
  }
  return { path, [Symbol.dispose]: dispose }
}

/** A temporary folder on a disk of its own, of that size; undefined where this process may not mount one. */
export const temporaryDisk = (megabytes: number) => {
  const folder = temporaryFolder()
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder.path])
  if (status === 0) {
    disks.add(folder.path)
    return folder
  }
  folder[Symbol.dispose]()
  return undefined
}

/** A process that answers requests. */
export type Callable = Pick<Galleria, "call">

/** Starts the child and does not wait for it. The port is a free one unless `env` says which. */
export const launch = (options: Options): Galleria => {
  const { PATH = "", HOME = "", TMPDIR = tmpdir() } = process.env
  const { script, modules = [], root = ownRoot } = options
  const flags = ["--expose-gc", "--disable-warning=TimeoutNegativeWarning", "--import", guard]
  const [command, ...args] =
    script === undefined
      ? [process.execPath, ...flags, join(root, "runtime/main.ts")]
      : ["npm", "run", "--silent", script, "--"]
  const child = spawn(command, [...args, ...modules], {
    cwd: root,
    env: { PATH, HOME, TMPDIR, DATA_DIR: options.dataDir, PORT: "0", LOG_FORMAT: "json", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own, so that the processes that npm starts can be killed with it.
    detached: script !== undefined,
  })
  const group = script === undefined ? undefined : startGuard('cat; kill -9 "-$1"', String(child.pid))
  children.add(child)
  const records: Array<LogRecord> = []
  let output = ""
  let errors = ""
  const { promise: url, resolve: found, reject: lost } = Promise.withResolvers<string>()
  url.catch(() => {})

  createInterface({ input: child.stdout }).on("line", (line) => {
    output += `${line}\n`
    const record = recordIn(line)
    if (record === undefined) return
    records.push(record)
    const address = /^(?:Try|The console runs at) (http:\/\/[^/]+)/u.exec(record.message)?.[1]
    if (address !== undefined) found(address)
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text
    errors += text
  })
  const exit = new Promise<Exit>((resolve) => {
    child.once("close", (code, signal) => {
      children.delete(child)
      lost(new Error(`Galleria ended (${code ?? signal}) before it listened:\n${output}`))
      resolve({ code, signal })
    })
  })

  const call: Galleria["call"] = async (method, path, body, headers = {}) => {
    const response = await fetch(`${await url}${path}`, {
      method,
      signal: AbortSignal.timeout(patienceMillis),
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) }
  }
  const ready = () => until("/readyz is 200", async () => (await call("GET", "/readyz")).status === 200)
  const kill = (signal: NodeJS.Signals) => {
    if (signal === "SIGSTOP") freeze(child.pid!)
    else child.kill(signal)
  }
  const stop = (signal: NodeJS.Signals = "SIGTERM") => {
    kill(signal)
    return exit
  }

  return {
    pid: child.pid!,
    records,
    output: () => output,
    errors: () => errors,
    url,
    ready,
    kill,
    exit,
    stop,
    call,
    [Symbol.asyncDispose]: async () => {
      await group?.release()
      await stop("SIGKILL")
    },
  }
}

/** Starts the child and waits until it is ready. */
export const start = async (options: Options): Promise<Galleria> => {
  const galleria = launch(options)
  try {
    await galleria.ready()
    return galleria
  } catch (error) {
    await galleria.stop("SIGKILL")
    throw error
  }
}

/**
 * Resolves once the server has read what was sent to it before: it has answered requests on connections that were made one
 * after the other since then.
 */
export const hasRead = async ({ url }: Pick<Galleria, "url">): Promise<void> => {
  for (let n = 0; n < 5; n++) {
    const [response] = (await once(get(`${await url}/livez`, { agent: false }), "response")) as [IncomingMessage]
    await once(response.resume(), "close")
  }
}

/** How long a test waits for a fact before it gives up: long, for the machine may be busy. */
export const patienceMillis = 120_000

/** Asks again and again until `holds` says that the fact is there; fails with `what` when patience is at its end. */
export const until = async (what: string, holds: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + patienceMillis
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`still waiting after ${patienceMillis / 1_000} s until ${what}`)
    await sleep(20)
  }
}

const ownRoot = new URL("../../..", import.meta.url).pathname

const recordIn = (line: string): LogRecord | undefined => {
  try {
    return JSON.parse(line) as LogRecord
  } catch {
    return undefined
  }
}
