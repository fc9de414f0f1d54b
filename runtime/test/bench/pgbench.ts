import { execFile, fork } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Statement } from "./statement.ts"

const exec = promisify(execFile)

/** Issues one statement again and again, on some connections at once, each waiting for its answer. */
export interface Repeater {
  readonly name: string
  /** How often in a second. */
  readonly rate: (connections: number, millis: number) => Promise<number>
}

/**
 * PostgreSQL's own pgbench with the statement prepared, on one thread; where there is none, the driver `pg` in a
 * process of its own.
 */
export const repeaterOf = async (url: string, statement: Statement): Promise<Repeater> => {
  const isThere = await exec("pgbench", ["--version"]).then(
    () => true,
    () => false,
  )
  return isThere ? byPgbench(url, statement) : byDriver(url, statement)
}

/** `$1` as pgbench writes it; a null cannot be said that way, so it stands there itself. */
const scriptOf = ({ text, values }: Statement) =>
  `${text.replaceAll(/\$(\d+)/gu, (_, n) => (values[n - 1] === null ? "null" : `:p${n}`)).trim()};\n`

const byPgbench = (url: string, statement: Statement): Repeater => ({
  name: "pgbench",
  rate: async (connections, millis) => {
    const folder = await mkdtemp(join(tmpdir(), "galleria-bench-"))
    try {
      const script = join(folder, "order.sql")
      await writeFile(script, scriptOf(statement))
      const values = statement.values.flatMap((value, n) => (value === null ? [] : ["-D", `p${n + 1}=${value}`]))
      const how = ["-n", "-M", "prepared", "-j", "1", "-c", `${connections}`, "-T", `${Math.ceil(millis / 1_000)}`]
      const env = { ...process.env, PGOPTIONS: options }
      const { stdout } = await exec("pgbench", [...how, ...values, "-f", script, url], { env })
      const found = /^tps = ([\d.]+)/mu.exec(stdout)
      if (found === null || /^number of failed transactions: [1-9]/mu.test(stdout)) throw new Error(stdout)
      return Number(found[1])
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
})

/** Of a session, as the order module's. */
export const options = "-c search_path=order -c jit=off"

const byDriver = (url: string, statement: Statement): Repeater => ({
  name: "the driver pg (there is no pgbench)",
  rate: async (connections, millis) => {
    const program = fileURLToPath(new URL("driverProcess.ts", import.meta.url))
    const child = fork(program, { env: { PATH: process.env["PATH"] }, execArgv: [] })
    const ended = once(child, "exit")
    child.send({ url, statement, connections, millis } satisfies DriverAsk)
    const [said] = await Promise.race([
      once(child, "message"),
      ended.then(([code]) => Promise.reject(new Error(`it ended with code ${code}`))),
    ])
    await ended
    return said as number
  },
})

export interface DriverAsk {
  readonly url: string
  readonly statement: Statement
  readonly connections: number
  readonly millis: number
}
