import { setTimeout as sleep } from "node:timers/promises"
import type { Outgoing } from "../events/EventBus.ts"
import { routesOf } from "../http/document.ts"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { auditFolder, auditFolders } from "./audit.ts"
import { sendTo, sendToKafka } from "./bus.ts"
import { canStartKafka, type Kafka, startKafka } from "./kafka.ts"
import { recordsOn } from "./kafkaLog.ts"
import { type Answer, type Exit, type Galleria, launch, temporaryFolder } from "./process.ts"
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
  /** Kills whatever runs, with kill -9. */
  readonly kill: () => Promise<void>
  /** Puts records on the log, as another program would. An embedded log is only free while nothing runs. */
  readonly send: (records: ReadonlyArray<Outgoing>) => Promise<void>
  /** What is not so in the databases and on the log, once everything was delivered and nothing runs. */
  readonly audit: (ledger: Ledger) => Promise<ReadonlyArray<string>>
}

export interface Settings {
  /** Those that run; all unless they are named. */
  readonly modules?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** A process and what it serves. */
export interface Part {
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

const deploymentOf = (parts: ReadonlyArray<Part>): Deployment => {
  const all = parts.map(({ galleria }) => galleria)
  const allOf = (module: string | undefined) => {
    const serving = parts.filter(({ modules }) => parts.length === 1 || (module && modules.includes(module)))
    if (serving.length === 0) throw new Error(`no process alone serves ${module ?? "that"}`)
    return serving.map(({ galleria }) => galleria)
  }
  let calls = 0
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
  readonly plan: (modules: ReadonlyArray<string>) => ReadonlyArray<Plan>
  readonly send: Site["send"]
  readonly audit: Site["audit"]
  readonly dispose: () => Promise<void> | void
}): Site => {
  const running = new Map<string, Part>()
  const launchAll: Site["launch"] = ({ modules: named = Object.keys(modules), env = {} } = {}) =>
    deploymentOf(
      options.plan(named).map((plan) => {
        const known = running.get(plan.name)
        if (known !== undefined) return known
        const galleria = launch({ ...plan, env: { ...plan.env, ...env } })
        const part = { modules: plan.modules, galleria }
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
    send: options.send,
    audit: options.audit,
    [Symbol.asyncDispose]: async () => {
      await kill()
      await options.dispose()
    },
  }
}

/** All modules in one process, with its embedded database and log: `npm run dev`. */
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

/** A process for each module, each with an embedded database of its own, and between them a Kafka of the site's own. */
export const overKafka: Shape & { readonly settle: (options?: KafkaOptions) => Promise<KafkaSite> } = {
  name: "over Kafka",
  settle: async ({ proxied = false } = {}) => {
    const kafka = await startKafka()
    const folders = new Map(Object.keys(modules).map((module) => [module, temporaryFolder()]))
    const folderOf = (module: string) => folders.get(module)!.path
    const servers = proxied ? kafka.proxiedBootstrap : kafka.bootstrap
    // Nobody here does the steps of an order; and a machine that is busy takes its time to carry news.
    const env = { KAFKA_BOOTSTRAP_SERVERS: servers, ORDER_STEPS: "none", USER_WAIT_MS: "10000" }
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

/** Those that can be had here. */
export const shapes = async (): Promise<ReadonlyArray<Shape>> =>
  (await canStartKafka()) ? [inOneProcess, overKafka] : [inOneProcess]
