import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { startGuard } from "./guard.ts"
import { type Driver, type Options, patienceMillis, propertiesOf, runWith } from "./kafkaBroker.ts"

const image = "apache/kafka:4.1.0"
const run = promisify(execFile)
const docker = async (...args: ReadonlyArray<string>) => (await run("docker", args)).stdout
const answers = (...args: ReadonlyArray<string>) =>
  run("docker", args, { timeout: 5_000 }).then(
    () => true,
    () => false,
  )

/** A broker in a container of the ordinary image, which is there already or, with `pull`, is fetched. */
export const inDocker =
  ({ pull }: { readonly pull: boolean }): Driver =>
  async (place, options) => {
    if (!(await answers("version"))) throw new Error("no Docker answers")
    if (!(await answers("image", "inspect", image))) {
      if (!pull) throw new Error(`Docker has no ${image}`)
      await docker("pull", "--quiet", image)
    }
    const name = `galleria-kafka-${randomUUID()}`
    const guard = startGuard(`cat; docker rm --force --volumes "$1"`, name)
    const ports = [place.direct, place.proxied].flatMap((port) => ["-p", `127.0.0.1:${port}:${port}`])
    try {
      await docker(
        "create",
        "--name",
        name,
        ...ports,
        ...environment(propertiesOf(place, options, "0.0.0.0"), options),
        image,
      )
    } catch (error) {
      await guard.release()
      throw error
    }

    const state = async (field: string) => (await docker("inspect", "-f", `{{.State.${field}}}`, name)).trim()
    const resume = async () => {
      if ((await state("Paused")) === "true") await docker("unpause", name)
    }
    const start = async () => {
      if ((await state("Running")) === "true") return
      await docker("start", name)
      const since = await state("StartedAt")
      const deadline = Date.now() + patienceMillis
      const said = () => docker("logs", "--since", since, name)
      while (!(await said()).includes("Kafka Server started")) {
        if ((await state("Running")) === "false" || Date.now() > deadline) {
          throw new Error(`Kafka does not start:\n${(await said()).slice(-4_000)}`)
        }
        await sleep(200)
      }
    }
    const end =
      (...command: ReadonlyArray<string>) =>
      async () => {
        await resume()
        if ((await state("Running")) === "true") await docker(...command, name)
        await docker("wait", name)
      }
    return {
      start,
      stop: end("stop", "--time", "60"),
      kill: end("kill"),
      pause: async () => void (await docker("pause", name)),
      resume,
      console: (tool, args, input = "") => {
        const script = `/opt/kafka/bin/kafka-console-${tool}.sh`
        const bootstrap = `127.0.0.1:${place.direct}`
        return runWith(input, "docker", ["exec", "-i", name, script, "--bootstrap-server", bootstrap, ...args])
      },
      remove: guard.release,
    }
  }

/** The image takes `broker.session.timeout.ms` as `KAFKA_BROKER_SESSION_TIMEOUT_MS`, and forgets its own of them then. */
const environment = (properties: ReturnType<typeof propertiesOf>, { megabytes = 256, optimized = false }: Options) =>
  Object.entries({
    ...Object.fromEntries(
      Object.entries({ ...properties, "log.dirs": "/var/lib/kafka/data" }).map(([name, value]) => [
        `KAFKA_${name.replaceAll("_", "__").replaceAll("-", "___").replaceAll(".", "_").toUpperCase()}`,
        value,
      ]),
    ),
    KAFKA_HEAP_OPTS: `-Xmx${megabytes}m`,
    ...(optimized ? {} : { KAFKA_OPTS: "-XX:TieredStopAtLevel=1" }),
  }).flatMap(([name, value]) => ["-e", `${name}=${value}`])
