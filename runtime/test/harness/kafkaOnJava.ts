import { type ChildProcess, execFile, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { closeSync, openSync, statSync } from "node:fs"
import { copyFile, mkdir, mkdtemp, readFile, rename, writeFile } from "node:fs/promises"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { cached } from "./cache.ts"
import { freePort } from "./freePort.ts"
import { freeze } from "./freeze.ts"
import { type Guard, startGuard } from "./guard.ts"
import {
  type Driver,
  type Options,
  patienceMillis,
  type Properties,
  propertiesOf,
  runWith,
  type Tool,
} from "./kafkaBroker.ts"

const version = "4.1.0"
const run = promisify(execFile)
const java = () => (process.env["JAVA_HOME"] ? join(process.env["JAVA_HOME"], "bin", "java") : "java")

/**
 * A broker as a process of this machine's Java, 17 or later, in a temporary folder. Its jars come by Maven and are kept
 * in `galleria-kafka` of the user's cache folder, with what makes a start quick: about a second.
 */
export const onJava: Driver = async (place, options) => {
  const home = await prepare()
  const folder = await mkdtemp(join(tmpdir(), "galleria-kafka-"))
  const guard = guardOf(folder)
  const broker = processIn(folder, [...flagsOf(options), ...home.flags], guard)
  const remove = async () => {
    await broker.kill()
    await guard.release()
  }
  try {
    await format(folder, home.checkpoint, propertiesOf(place, options, "127.0.0.1"))
  } catch (error) {
    await remove()
    throw error
  }
  const bootstrap = `127.0.0.1:${place.direct}`
  const command = (tool: Tool) => [...flagsOf({}), ...home.flags, tools[tool], "--bootstrap-server", bootstrap]
  return { ...broker, remove, console: (tool, args, input = "") => runWith(input, java(), [...command(tool), ...args]) }
}

/** The same, in a folder that is formatted already. */
const processIn = (folder: string, flags: ReadonlyArray<string>, guard: Guard) => {
  const log = join(folder, "broker.log")
  let child: ChildProcess | undefined
  let exit: Promise<unknown> = Promise.resolve()

  const start = async () => {
    if (child !== undefined) return
    const output = openSync(log, "a")
    const from = statSync(log).size
    const born = spawn(java(), [...flags, "kafka.Kafka", join(folder, "server.properties")], {
      cwd: folder,
      stdio: ["ignore", output, output],
    })
    child = born
    closeSync(output)
    guard.write(String(born.pid))
    exit = once(born, "exit").finally(() => {
      child = undefined
      guard.write("")
    })
    exit.catch(() => {})
    const deadline = Date.now() + patienceMillis
    const said = async () => (await readFile(log)).subarray(from).toString()
    while (!(await said()).includes("Kafka Server started")) {
      if (child === undefined || Date.now() > deadline) {
        throw new Error(`Kafka does not start:\n${(await said()).slice(-4_000)}`)
      }
      await sleep(20)
    }
  }
  const signal = (...names: ReadonlyArray<NodeJS.Signals>) => names.forEach((name) => child?.kill(name))
  return {
    start,
    stop: async () => {
      signal("SIGTERM", "SIGCONT")
      await exit
    },
    kill: async () => {
      signal("SIGKILL")
      await exit
    },
    pause: async () => {
      if (child?.pid !== undefined) freeze(child.pid)
    },
    resume: async () => signal("SIGCONT"),
  }
}

/** Receives the broker's process id, one line each time that it starts or ends. */
const guardOf = (folder: string) =>
  startGuard(
    `while read -r line; do pid=$line; done
    [ -z "$pid" ] || kill -KILL "$pid"
    rm -rf "$1" || { sleep 1; rm -rf "$1"; }`,
    folder,
  )

/** What Kafka's own `format` makes of a folder, without the second that its JVM takes. */
const format = async (folder: string, checkpoint: string, properties: Properties) => {
  const data = join(folder, "data")
  await mkdir(data)
  await copyFile(checkpoint, join(data, "bootstrap.checkpoint"))
  await writeProperties(join(data, "meta.properties"), {
    version: 1,
    "node.id": 1,
    "cluster.id": newId(),
    "directory.id": newId(),
  })
  await writeProperties(join(folder, "server.properties"), { ...properties, "log.dirs": data })
}

const writeProperties = (file: string, properties: Properties) =>
  writeFile(
    file,
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  )

/** As Kafka makes them, and never with a dash in front. */
const newId = () => `G${randomBytes(16).toString("base64url").slice(1)}`

const flagsOf = ({ megabytes = 256, optimized = false }: Options) => [
  `-Xmx${megabytes}m`,
  "-XX:+UseSerialGC",
  ...(optimized ? [] : ["-XX:TieredStopAtLevel=1"]),
  "-Djava.net.preferIPv4Stack=true",
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
  "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
  "-Dorg.slf4j.simpleLogger.showDateTime=true",
  "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
]

interface Home {
  /** Of the JVM: where the classes are. */
  readonly flags: ReadonlyArray<string>
  /** What a formatted folder holds of the version's features. */
  readonly checkpoint: string
}

/** The archive of loaded classes is good for the Java that wrote it only, so it bears its name. */
const prepare = async (): Promise<Home> => {
  const javaName = await findJava()
  const home = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "galleria-kafka", version)
  const libs = join(home, "libs")
  const checkpoint = join(home, "bootstrap.checkpoint")
  const archive = join(home, `${javaName}.jsa`)
  await cached(libs, fetchJars)
  const classPath = ["-cp", `${libs}/*`]
  await cached(checkpoint, (file) => writeCheckpoint(file, classPath))
  await cached(archive, (file) => writeArchive(file, classPath, checkpoint))
  return { flags: [`-XX:SharedArchiveFile=${archive}`, ...classPath], checkpoint }
}

/** A name for this Java of this build. */
const findJava = async () => {
  const { stderr } = await run(java(), ["-version"]).catch((error) => {
    throw new Error("there is no Java", { cause: error })
  })
  const major = Number(/version "(\d+)/u.exec(stderr)?.[1])
  if (!(major >= 17)) throw new Error(`Java is ${major} and has to be 17 or later`)
  return `java-${major}-${createHash("sha256").update(stderr).digest("hex").slice(0, 12)}`
}

const fetchJars = async (folder: string) => {
  const dependency = (group: string, artifact: string, version: string, exclusion = "") =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>
    <exclusions>${exclusion}</exclusions></dependency>`
  const connect = "<exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>"
  const pom = `${folder}.xml`
  // Without a binding of slf4j the broker is mute.
  await writeFile(
    pom,
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
    <groupId>galleria</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
    ${dependency("org.apache.kafka", "kafka_2.13", version)}
    ${dependency("org.apache.kafka", "kafka-tools", version, connect)}
    ${dependency("org.slf4j", "slf4j-simple", "1.7.36")}</dependencies></project>`,
  )
  const goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${folder}`]
  await run("mvn", ["-q", "-B", "-f", pom, ...goal]).catch((error: Error & { stdout?: string; code?: unknown }) => {
    const why = error.code === "ENOENT" ? "there is no Maven" : `Maven fails: ${error.stdout?.slice(0, 500)}`
    throw new Error(`${why} to fetch Kafka for Java`, { cause: error })
  })
}

const writeCheckpoint = async (file: string, classPath: ReadonlyArray<string>) => {
  const folder = `${file}-format`
  const server = join(folder, "server.properties")
  await mkdir(folder)
  const place = { direct: 1, proxied: 2, proxy: 2, controller: 3 }
  await writeProperties(server, { ...propertiesOf(place, {}, "127.0.0.1"), "log.dirs": join(folder, "data") })
  await run(java(), [...flagsOf({}), ...classPath, "kafka.tools.StorageTool", "format", "-t", newId(), "-c", server])
  await rename(join(folder, "data", "bootstrap.checkpoint"), file)
}

/** Starts and stops a broker once. */
const writeArchive = async (file: string, classPath: ReadonlyArray<string>, checkpoint: string) => {
  const folder = `${file}-run`
  const [direct, proxied, controller] = [await freePort(), await freePort(), await freePort()]
  await mkdir(folder)
  await format(folder, checkpoint, propertiesOf({ direct, proxied, proxy: proxied, controller }, {}, "127.0.0.1"))
  const guard = guardOf(folder)
  try {
    const broker = processIn(folder, [...flagsOf({}), `-XX:ArchiveClassesAtExit=${file}`, ...classPath], guard)
    await broker.start()
    await broker.stop()
  } finally {
    await guard.release()
  }
}

const tools: Readonly<Record<Tool, string>> = {
  producer: "org.apache.kafka.tools.ConsoleProducer",
  consumer: "org.apache.kafka.tools.consumer.ConsoleConsumer",
}
