/**
 * `npm run mutants [-- --only TEXT] [-- --at-once 2]`: breaks one rule after the other in a copy of the project, and runs the
 * test that must notice. Prints `caught` or `LIVED` for each. Exit code 1 when less than 95 % are caught, when a change
 * does not apply, or when a test fails without it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { basename, join } from "node:path"
import { parseArgs } from "node:util"
import { startKafka } from "../harness/kafka.ts"
import { askKafka } from "../harness/kafkaLog.ts"
import { until } from "../harness/process.ts"
import { startPostgres } from "../harness/postgresServer.ts"
import { type Mutant, patched, patternOf } from "./Mutant.ts"
import { isWhole } from "../../vitest.config.ts"
import { mutants } from "./mutants.ts"

const root = new URL("../../..", import.meta.url).pathname

/** Of all mutants so many must be caught. */
const leastShare = 0.95

/** A run of tests that takes longer is ended; then the change was noticed, for the tests end without it. */
const limitMillis = 240_000

const notCopied = new Set(["node_modules", ".git", ".cache", ".data"])

const copies = new Set<string>()
const remove = (folder: string) => rmSync(folder, { recursive: true, force: true, maxRetries: 10 })

/** A copy of the project that shares its packages. */
const makeCopy = () => {
  const folder = mkdtempSync(join(tmpdir(), "galleria-mutants-"))
  copies.add(folder)
  cpSync(root, folder, { recursive: true, filter: (path) => !notCopied.has(basename(path)) })
  symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"))
  return folder
}

/** Where tests run, and with which servers. */
interface Place {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
}

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly status: string
    readonly message: string
    readonly assertionResults: ReadonlyArray<{
      readonly ancestorTitles: ReadonlyArray<string>
      readonly title: string
      readonly status: string
      readonly failureMessages?: ReadonlyArray<string>
    }>
  }>
}

/** How tests went: undefined when they did not end in time. */
type Tests = { readonly tests: Report["testResults"][number]["assertionResults"]; readonly said: string } | undefined

/** A broker that has just started finds out by its first group where it keeps them. */
const knowsGroups = (bootstrap: string) =>
  askKafka(bootstrap, (admin) => admin.fetchOffsets({ groupId: "mutants" })).then(
    () => true,
    () => false,
  )

/** A PostgreSQL and, where one is needed, a Kafka that all runs share: to start one for each would take longer than its tests. */
const startServers = async (meant: ReadonlyArray<Mutant>) => {
  await using servers = new AsyncDisposableStack()
  const postgres = servers.use(await startPostgres())
  const kafka = meant.some(({ fails }) => fails.includes("afka")) ? servers.use(await startKafka()) : undefined
  if (kafka !== undefined) await until("Kafka knows of groups", () => knowsGroups(kafka.bootstrap))
  const env = {
    TEST_DATABASE_URL: postgres.url,
    ...(kafka === undefined ? {} : { KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap }),
  }
  const all = servers.move()
  return { env, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** Runs of tests, each the leader of a group of processes. */
const running = new Set<ChildProcess>()
const end = ({ pid }: ChildProcess) => {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL")
  } catch {
    // It has just ended by itself.
  }
}

/** Runs the tests of a file whose names match. */
const runTests = ({ folder, env }: Place, file: string, pattern: string): Promise<Tests> =>
  new Promise((resolve, reject) => {
    const report = join(folder, ".cache/tests.json")
    rmSync(report, { force: true })
    const vitest = join(folder, "node_modules/vitest/vitest.mjs")
    const config = `runtime/vitest.${isWhole(file) ? "whole.config" : "config"}.ts`
    const options = ["--config", config, "--reporter=json"]
    const child = spawn(process.execPath, [vitest, "run", file, "-t", pattern, "--maxWorkers=1", ...options], {
      cwd: folder,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    })
    running.add(child)
    let said = ""
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text))
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      end(child)
    }, limitMillis)
    child.on("error", reject)
    child.on("close", () => {
      clearTimeout(timer)
      running.delete(child)
      if (isLate) return resolve(undefined)
      try {
        const { testResults } = JSON.parse(readFileSync(report, "utf8")) as Report
        const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
        resolve({ tests, said: `${said}\n${testResults.map(({ message }) => message).join("\n")}` })
      } catch (error) {
        reject(new Error(`vitest left no report of ${file}:\n${said}`, { cause: error }))
      }
    })
  })

const ran = (tests: Tests, pattern: string) =>
  tests?.tests.filter(
    ({ ancestorTitles, title, status }) =>
      ["passed", "failed"].includes(status) && new RegExp(pattern, "u").test([...ancestorTitles, title].join(" > ")),
  ) ?? []

/** Why these mutants cannot be judged: a test that must fail with the change fails, or is missing, without it. */
const unfit = async (place: Place, [file, those]: readonly [string, ReadonlyArray<Mutant>]) => {
  const patterns = [...new Set(those.map(patternOf))]
  const tests = await runTests(place, file, patterns.join("|"))
  return patterns.flatMap((pattern) => {
    const found = ran(tests, pattern)
    if (found.length > 0 && found.every(({ status }) => status === "passed")) return []
    const why = tests === undefined ? "does not end" : found.length === 0 ? "is not there" : "fails"
    const messages = found.flatMap(({ failureMessages = [] }) => failureMessages)
    return [`${file} ${pattern} ${why} without any change\n${messages.join("\n")}\n${tests?.said ?? ""}`]
  })
}

type Verdict = "caught" | "LIVED" | "BROKEN"

const judge = async (place: Place, mutant: Mutant): Promise<{ readonly verdict: Verdict; readonly why: string }> => {
  const path = join(place.folder, mutant.file)
  const text = readFileSync(path, "utf8")
  const changed = patched(text, mutant)
  if (changed === undefined) return { verdict: "BROKEN", why: "the text to replace is not there exactly once" }
  writeFileSync(path, changed)
  try {
    const tests = await runTests(place, mutant.test, patternOf(mutant))
    if (tests === undefined) return { verdict: "caught", why: "the test does not end" }
    const found = ran(tests, patternOf(mutant))
    if (found.length === 0) return { verdict: "BROKEN", why: `no test ran:\n${tests.said}` }
    const failed = found.find(({ status }) => status === "failed")
    const message = failed?.failureMessages?.[0]?.split("\n")[0] ?? ""
    return failed === undefined ? { verdict: "LIVED", why: mutant.breaks } : { verdict: "caught", why: message }
  } finally {
    writeFileSync(path, text)
  }
}

/** Does all the work, each piece in one of the copies that is free. */
const inCopies = async <A>(places: ReadonlyArray<Place>, work: ReadonlyArray<A>, run: Work<A>) => {
  const waiting = [...work]
  const one = async (place: Place) => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await run(place, next)
  }
  await Promise.all(places.map(one))
}
type Work<A> = (place: Place, piece: A) => Promise<void>

const main = async () => {
  const { values } = parseArgs({
    options: { only: { type: "string", multiple: true, default: [""] }, "at-once": { type: "string" } },
  })
  const meant = mutants.filter(({ name, file }) => values.only.some((text) => `${file} ${name}`.includes(text)))
  const atOnce = Math.min(Number(values["at-once"] ?? availableParallelism()), meant.length)
  await using servers = await startServers(meant)
  const places = Array.from({ length: atOnce }, () => ({ folder: makeCopy(), env: servers.env }))
  const began = performance.now()

  const wrong: Array<string> = []
  const byFile = Array.from(Map.groupBy(meant, ({ test }) => test))
  await inCopies(places, byFile, async (place, group) => void wrong.push(...(await unfit(place, group))))
  if (wrong.length > 0) throw new Error(wrong.join("\n"))

  const verdicts: Array<Verdict> = []
  await inCopies(places, meant, async (place, mutant) => {
    const { verdict, why } = await judge(place, mutant)
    verdicts.push(verdict)
    console.log(`${verdict}  ${mutant.name} (${mutant.file})${why === "" ? "" : `: ${why.slice(0, 2_000)}`}`)
  })
  const caught = verdicts.filter((verdict) => verdict === "caught").length
  const share = caught / meant.length
  const minutes = ((performance.now() - began) / 60_000).toFixed(1)
  console.log(`\n${caught} of ${meant.length} mutants caught (${Math.floor(share * 100)} %), in ${minutes} min`)
  return share >= leastShare && !verdicts.includes("BROKEN")
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1))
process.once("exit", () => {
  running.forEach(end)
  copies.forEach(remove)
})
try {
  process.exit((await main()) ? 0 : 1)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
