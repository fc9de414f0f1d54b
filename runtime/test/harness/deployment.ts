import { readdirSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { Outgoing } from "../../events/EventBus.ts"
import { routesOf } from "../../http/openapi/document.ts"
import type { Module } from "../../module/Module.ts"
import { modules } from "../../modules.ts"
import { auditFolder, auditFolders, auditServer } from "./audit.ts"
import { sendTo, sendToKafka } from "./bus.ts"
import { canStartKafka, type Kafka, startKafka } from "./kafka.ts"
import { recordsOn } from "./kafkaLog.ts"
import { canStartPostgres, connectTo, type Postgres, startPostgres } from "./postgresServer.ts"
import { type Answer, type Exit, type Galleria, launch, temporaryFolder } from "./process.ts"
import { type Proxy, startProxy } from "./proxy.ts"
import { spine } from "./spine.ts"
import type { Ledger } from "./shoppers.ts"

/** A way to run the same modules: a test that holds in each of them takes its site from here. */
export interface Shape {
  /** As in "the journey of an order, in one process". */
  readonly name: string
  /** A place where nothing was ever stored. */
  readonly settle: () => Promise<Site>
}

/** What outlives the processes: their data, and the log. It goes, with all that still runs, out of scope. */
export interface Site extends AsyncDisposable {
  /** Starts what of it does not run and waits for nothing; what runs already goes on as it is. */
  readonly launch: (settings?: Settings) => Deployment
  /** The same, ready when it resolves. */
  readonly start: (settings?: Settings) => Promise<Deployment>
  /** Whether the first start of these has come to where it prepares all of their databases. */
  readonly isPreparing: (deployment: Deployment) => boolean | Promise<boolean>
  /** Kills whatever runs, with kill -9. */
  readonly kill: () => Promise<void>
  /** Puts records on the log, as another program would. An embedded log is only free while nothing runs. */
  readonly send: (records: ReadonlyArray<Outgoing>) => Promise<void>
  /** What is not so in the databases and on the log, once everything was delivered and nothing runs. */
  readonly audit: (ledger: Ledger) => Promise<ReadonlyArray<string>>
}

export interface Settings {
  /** Those that run; the spine unless they are named. */
  readonly modules?: ReadonlyArray<string>
  /** Of each module, where there can be several; as many as the site is made for unless it is given. */
  readonly instances?: number
  readonly env?: Readonly<Record<string, string>>
  /** The folder of the program, for another release than this one. */
  readonly root?: string
}

/** A process and what it serves. */
export interface Part {
  /** The same at each start. */
  readonly name: string
  readonly modules: ReadonlyArray<string>
  readonly galleria: Galleria
}

/**
 * The processes that run together, to be met as if they were one: a request goes to one of those that serve its path,
 * in turn. They are killed when the deployment goes out of scope.
 */
export interface Deployment extends Pick<
  Galleria,
  "call" | "records" | "output" | "ready" | "kill" | "stop" | typeof Symbol.asyncDispose
> {
  readonly parts: ReadonlyArray<Part>
  /** The process of a module, or the first of several. */
  readonly of: (module: string) => Galleria
  readonly allOf: (module: string) => ReadonlyArray<Galleria>
  /** Asks each process. */
  readonly each: <Body>(method: string, path: string) => Promise<ReadonlyArray<Answer<Body>>>
}

/** Which module has what begins with `/users`. */
const moduleOf = (path: string) => {
  const place = path.split(/[/?]/u)[1]
  const owner = Object.values<Module>(modules).find((module) =>
    routesOf([module]).some((route) => route.path.split("/")[1] === place),
  )
  return owner?.name
}

/** Counts the turns of all deployments, so that picking by it reaches every process. */
let calls = 0

export const deploymentOf = (parts: ReadonlyArray<Part>): Deployment => {
  const all = parts.map(({ galleria }) => galleria)
  const allOf = (module: string | undefined) => {
    const isAny = new Set(parts.map(({ modules }) => modules.join())).size === 1
    const serving = parts.filter(({ modules }) => (module === undefined ? isAny : modules.includes(module)))
    if (serving.length === 0) throw new Error(`no process alone serves ${module ?? "that"}`)
    return serving.map(({ galleria }) => galleria)
  }
  const kill = (signal: NodeJS.Signals) => all.forEach((galleria) => galleria.kill(signal))
  const stop = async (signal?: NodeJS.Signals): Promise<Exit> => {
    const exits = await Promise.all(all.map((galleria) => galleria.stop(signal)))
    return exits.find(({ code }) => code !== 0) ?? exits[0]!
  }
  return {
    parts,
    allOf,
    of: (module) => allOf(module)[0]!,
    call: async (method, path, body, headers) => {
      const serving = allOf(moduleOf(path))
      return await serving[calls++ % serving.length]!.call(method, path, body, headers)
    },
    each: <Body>(method: string, path: string) => Promise.all(all.map(({ call }) => call<Body>(method, path))),
    get records() {
      return all.flatMap(({ records }) => records)
    },
    output: () => all.map((galleria) => galleria.output()).join(""),
    ready: async () => void (await Promise.all(all.map(({ ready }) => ready()))),
    kill,
    /** Says how one of them ended that did not end well, if there is one. */
    stop,
    [Symbol.asyncDispose]: async () => void (await stop("SIGKILL")),
  }
}

const howItEnded = ({ modules, galleria }: Part) =>
  Promise.race([
    galleria.exit.then(({ code, signal }) => `${modules.join()} ended with ${code ?? signal}`),
    sleep(100, `${modules.join()} runs`),
  ])

/** What one process of a site is started with. */
interface Plan {
  /** The same at each start. */
  readonly name: string
  readonly modules: ReadonlyArray<string>
  readonly dataDir: string
  readonly env?: Readonly<Record<string, string>>
}

const siteOf = (options: {
  readonly plan: (modules: ReadonlyArray<string>, instances: number | undefined) => ReadonlyArray<Plan>
  readonly isPreparing?: Site["isPreparing"]
  readonly send: Site["send"]
  readonly audit: Site["audit"]
  readonly dispose: () => Promise<void> | void
}): Site => {
  const running = new Map<string, Part>()
  const launchAll: Site["launch"] = ({ modules: named = spine, instances, env = {}, ...program } = {}) =>
    deploymentOf(
      options.plan(named, instances).map((plan) => {
        const known = running.get(plan.name)
        if (known !== undefined) return known
        const galleria = launch({ ...plan, ...program, env: { ...plan.env, ...env } })
        const part = { name: plan.name, modules: plan.modules, galleria }
        running.set(plan.name, part)
        void galleria.exit.then(() => running.delete(plan.name))
        return part
      }),
    )
  const kill = async () => {
    await Promise.all([...running.values()].map(({ galleria }) => galleria.stop("SIGKILL")))
  }
  return {
    kill,
    launch: launchAll,
    start: async (settings) => {
      const deployment = launchAll(settings)
      try {
        await deployment.ready()
        return deployment
      } catch (error) {
        const ended = await Promise.all(deployment.parts.map(howItEnded))
        await deployment.stop("SIGKILL")
        throw new Error(`it does not get ready (${ended.join(", ")}):\n${deployment.output()}`, { cause: error })
      }
    },
    isPreparing: options.isPreparing ?? saysThatItPrepares,
    send: options.send,
    audit: options.audit,
    [Symbol.asyncDispose]: async () => {
      await kill()
      await options.dispose()
    },
  }
}

/** As with an embedded database. */
const saysThatItPrepares = ({ parts }: Deployment) =>
  parts.every(({ galleria }) => /Preparing the database/u.test(galleria.output()))

/** The modules in one process, with its embedded database and log: `npm run dev`. */
export const inOneProcess: Shape = {
  name: "in one process",
  settle: async () => {
    const folder = temporaryFolder()
    const dataDir = folder.path
    return siteOf({
      plan: (modules) => [{ name: "galleria", modules, dataDir }],
      send: (records) => sendTo(dataDir, records),
      audit: (ledger) => auditFolder(dataDir, ledger),
      dispose: () => folder[Symbol.dispose](),
    })
  },
}

/** No module here performs the steps of an order, and a busy machine delivers events slowly. */
const overKafkaEnv = (kafka: Kafka, { proxied = false }: KafkaOptions) => ({
  KAFKA_BOOTSTRAP_SERVERS: proxied ? kafka.proxiedBootstrap : kafka.bootstrap,
  ORDER_STEPS: "none",
  USER_WAIT_MS: "10000",
})

/** A process for each module, each with an embedded database of its own, and between them a Kafka of the site's own. */
export const overKafka: Shape & { readonly settle: (options?: KafkaOptions) => Promise<KafkaSite> } = {
  name: "over Kafka",
  settle: async (options: KafkaOptions = {}) => {
    const kafka = await startKafka()
    const folders = new Map(spine.map((module) => [module, temporaryFolder()]))
    const folderOf = (module: string) => folders.get(module)!.path
    const env = overKafkaEnv(kafka, options)
    const site = siteOf({
      plan: (modules) => modules.map((module) => ({ name: module, modules: [module], dataDir: folderOf(module), env })),
      send: (records) => sendToKafka(kafka.bootstrap, records),
      audit: async (ledger) =>
        auditFolders(
          Array.from(folders.values(), ({ path }) => path),
          await recordsOn(kafka.bootstrap),
          ledger,
        ),
      dispose: async () => {
        await kafka.close()
        for (const folder of folders.values()) folder[Symbol.dispose]()
      },
    })
    return { ...site, kafka, [Symbol.asyncDispose]: site[Symbol.asyncDispose] }
  },
}

interface KafkaOptions {
  /** The processes reach the broker through its proxy. */
  readonly proxied?: boolean
}

export interface KafkaSite extends Site {
  readonly kafka: Kafka
}

/**
 * As in production: processes for each module, two unless it is said, and a database for each module, of an owner with
 * no other rights, on a PostgreSQL of the site's own, and a Kafka too.
 */
export const overKafkaAndPostgres: Shape & {
  readonly settle: (options?: ProductionOptions) => Promise<ProductionSite>
} = {
  name: "over Kafka and PostgreSQL",
  settle: async (options: ProductionOptions = {}) => {
    await using parts = new AsyncDisposableStack()
    const kafka = parts.use(await startKafka())
    const postgres = parts.use(await startPostgres())
    const way = parts.use(await startProxy({ to: Number(new URL(postgres.url).port) }))
    const nothing = parts.use(temporaryFolder())
    const own = options.modules ?? spine
    const urlOf = (module: string) => databaseOf(postgres, `${module}_service`)
    await runAt(
      postgres.url,
      own.flatMap((module) => [
        `create role ${module}_service login password '${new URL(urlOf(module)).password}'`,
        `create database ${module}_service owner ${module}_service`,
      ]),
    )
    const reachedAt = (url: string) => {
      const through = new URL(url)
      if (options.isDatabaseProxied === true) through.port = String(way.port)
      return through.href
    }
    const planOf = (module: string, n: number) => ({
      name: `${module} ${n + 1}`,
      modules: [module],
      dataDir: nothing.path,
      env: { ...overKafkaEnv(kafka, options), DATABASE_URL: reachedAt(urlOf(module)), ...options.env },
    })
    const all = parts.move()
    const site = siteOf({
      plan: (modules, instances = options.instances ?? 2) =>
        (options.modules ?? modules).flatMap((module) =>
          Array.from({ length: instances }, (_, n) => planOf(module, n)),
        ),
      isPreparing: async () => {
        await using admin = await connectTo(postgres.url)
        const used = "select distinct datname from pg_stat_activity where application_name like 'galleria %'"
        return (await admin.run(used)).length === own.length
      },
      send: (records) => sendToKafka(kafka.bootstrap, records),
      audit: async (ledger) => [
        ...readdirSync(nothing.path).map((file) => `${file} is in a folder that is not needed`),
        ...(await auditServer(own.map(urlOf), await recordsOn(kafka.bootstrap), ledger)),
      ],
      dispose: () => all.disposeAsync(),
    })
    return { ...site, kafka, postgres, way, urlOf, [Symbol.asyncDispose]: site[Symbol.asyncDispose] }
  },
}

interface ProductionOptions extends KafkaOptions {
  /** Those that have a database and run; the spine unless they are named. */
  readonly modules?: ReadonlyArray<string>
  /** Of each module. */
  readonly instances?: number
  /** The processes reach their databases through the proxy `way`. */
  readonly isDatabaseProxied?: boolean
  readonly env?: Readonly<Record<string, string>>
}

export interface ProductionSite extends KafkaSite {
  readonly postgres: Postgres
  /** Between the processes and PostgreSQL, where the site was made so. */
  readonly way: Proxy
  /** Of a module's database, as its processes use it. */
  readonly urlOf: (module: string) => string
}

/** The URL of a database whose owner has its name. */
const databaseOf = ({ url }: Postgres, name: string) => {
  const own = new URL(url)
  own.username = name
  own.pathname = `/${name}`
  return own.href
}

const runAt = async (url: string, statements: ReadonlyArray<string>) => {
  await using session = await connectTo(url)
  for (const statement of statements) await session.run(statement)
}

/** Those that can be had here. */
export const shapes = async (): Promise<ReadonlyArray<Shape>> => {
  if (!(await canStartKafka())) return [inOneProcess]
  return (await canStartPostgres()) ? [inOneProcess, overKafka, overKafkaAndPostgres] : [inOneProcess, overKafka]
}
