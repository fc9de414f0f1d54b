import { parseArgs } from "node:util"
import { modules } from "../../modules.ts"
import { type Deployment, deploymentOf } from "../harness/deployment.ts"
import { type Kafka, startKafka } from "../harness/kafka.ts"
import { askKafka } from "../harness/kafkaLog.ts"
import { connectTo, type Postgres, type Release, startPostgres } from "../harness/postgresServer.ts"
import { launch, temporaryFolder, until } from "../harness/process.ts"
import { runProgram } from "../harness/program.ts"
import { randomOf } from "../harness/shoppers.ts"
import { drawGroupings, fixedGroupings, type Grouping, groupingOf, titleOf } from "./grouping.ts"

/** A broker and a database server that groupings use one after the other. */
export interface Servers extends AsyncDisposable {
  readonly kafka: Kafka
  readonly postgres: Postgres
}

export const startServers = async (release?: Release): Promise<Servers> => {
  await using started = new AsyncDisposableStack()
  const kafka = started.use(await startKafka())
  const postgres = started.use(await startPostgres({}, release))
  const all = started.move()
  return { kafka, postgres, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** An empty log, without groups. */
const emptyLog = ({ bootstrap }: Kafka) =>
  askKafka(bootstrap, async (admin) => {
    await until("no group is left", async () => {
      const { groups } = await admin.listGroups()
      if (groups.length === 0) return true
      // A process that was killed is a member for some more seconds.
      await admin.deleteGroups(groups.map(({ groupId }) => groupId)).catch(() => {})
      return false
    })
    const topics = (await admin.listTopics()).filter((topic) => !topic.startsWith("__"))
    if (topics.length > 0) await admin.deleteTopics({ topics })
    await until("no topic is left", async () => (await admin.listTopics()).every((topic) => topic.startsWith("__")))
  })

/** The URL of an empty database for each of these modules. */
const emptyDatabases = async ({ url }: Postgres, names: ReadonlyArray<string>) => {
  await using session = await connectTo(url)
  const entries: Array<readonly [string, string]> = []
  for (const name of names) {
    await session.run(`drop database if exists ${name}_service with (force)`)
    await session.run(`create database ${name}_service`)
    const own = new URL(url)
    own.pathname = `/${name}_service`
    entries.push([name, own.href])
  }
  return new Map(entries)
}

/** Starts a process for each group. `urls`: of the modules that have a database on PostgreSQL. */
const launchGroups = (
  kafka: Kafka,
  groups: Grouping["processes"],
  urls: ReadonlyMap<string, string>,
  folders: DisposableStack,
) =>
  deploymentOf(
    groups.map((own) => {
      const placed = own.filter((name) => urls.has(name))
      const databases = Object.fromEntries(
        placed.map((name) => [`${name.toUpperCase()}_DATABASE_URL`, urls.get(name)!]),
      )
      const galleria = launch({
        modules: own,
        dataDir: folders.use(temporaryFolder()).path,
        env: { KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap, USER_WAIT_MS: "5000", ...databases },
      })
      return { name: own.join("+"), modules: own, galleria }
    }),
  )

/** Walks every ending of an order in these processes, and stops them. Returns faults. */
export const walk = async (deployment: Deployment): Promise<ReadonlyArray<string>> => {
  const addresses = await Promise.all(
    deployment.parts.flatMap(({ modules, galleria }) => modules.map(async (name) => `${name}=${await galleria.url}`)),
  )
  const smoke = await runProgram("smoke.ts", addresses)
  const faults = smoke.code === 0 && !smoke.output.includes("not walked") ? [] : [smoke.output]
  // The last facts of an order may be on their way.
  let audit = await runProgram("audit.ts", addresses)
  for (let tries = 0; tries < 10 && audit.code !== 0; tries++) audit = await runProgram("audit.ts", addresses)
  if (audit.code !== 0) faults.push(audit.output)
  let letters: ReadonlyArray<object> = []
  await until("the dead letters are listed", async () => {
    const pages = await deployment.each<{ items: ReadonlyArray<object> }>("GET", "/admin/dead-letters")
    letters = pages.flatMap(({ body }) => body.items ?? [])
    return pages.every(({ status }) => status === 200)
  })
  faults.push(...letters.map((letter) => JSON.stringify(letter)))
  const { code } = await deployment.stop()
  if (code !== 0) faults.push(`a process ended with ${code}:\n${deployment.output()}`)
  return faults
}

/** Walks every ending with the modules grouped like this, on an empty log and empty databases. Returns faults. */
export const walkGrouping = async (
  { kafka, postgres }: Servers,
  grouping: Grouping,
): Promise<ReadonlyArray<string>> => {
  const { processes, embedded } = grouping
  await emptyLog(kafka)
  const placed = processes.flat().filter((name) => !embedded.includes(name))
  using folders = new DisposableStack()
  await using deployment = launchGroups(kafka, processes, await emptyDatabases(postgres, placed), folders)
  await deployment.ready().catch((error) => {
    throw new Error(`${titleOf(grouping)} does not get ready:\n${deployment.output()}`, { cause: error })
  })
  return await walk(deployment)
}

const usage = `npm run groupings                                       five groupings of the modules into processes
npm run groupings -- --all                              all 52
npm run groupings -- --seed 7                           five others, some modules on embedded databases
npm run groupings -- user+order payment+inventory notification --embedded payment    this one`

const chooseGroupings = (
  named: ReadonlyArray<string>,
  {
    all = false,
    seed,
    embedded,
  }: { all?: boolean | undefined; seed?: string | undefined; embedded?: string | undefined },
): ReadonlyArray<Grouping> => {
  const names = Object.keys(modules)
  if (named.length > 0) return [groupingOf(named, embedded, names)]
  if (!all && seed === undefined) return fixedGroupings
  return drawGroupings(names, all ? Infinity : 5, randomOf(Number(seed ?? 1)))
}

/** Runs groupings until one fails, and prints each. */
const main = async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      all: { type: "boolean" },
      seed: { type: "string" },
      embedded: { type: "string" },
      help: { type: "boolean" },
    },
  })
  if (values.help === true) return console.log(usage)
  const chosen = chooseGroupings(positionals, values)
  await using servers = await startServers()
  for (const grouping of chosen) {
    const began = Date.now()
    const faults = await walkGrouping(servers, grouping)
    console.log(
      `${faults.length === 0 ? "✓" : "✗"} ${titleOf(grouping)} (${Math.round((Date.now() - began) / 1_000)} s)`,
    )
    if (faults.length > 0) {
      console.error(`${faults.join("\n")}\nRepeat it: npm run groupings -- ${titleOf(grouping)}`)
      process.exitCode = 1
      return
    }
  }
  console.log(`every order ends as it must in ${chosen.length} groupings`)
}

if (import.meta.main) await main()
