import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { Agent, request } from "node:http"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Order } from "../../../modules/order/contract/api.ts"
import { modules } from "../../modules.ts"
import { pagesOf } from "../harness/audit.ts"
import { type Galleria, hasRead, launch, type Options, start, temporaryFolder, until } from "../harness/process.ts"
import { spine } from "../harness/spine.ts"
import { stopwatch } from "../harness/stopwatch.ts"

/** A folder that was started once and stopped: copies of it start faster. */
const prepared = temporaryFolder()
let firstStart = ""

beforeAll(async () => {
  await using galleria = await start({ modules: spine, dataDir: prepared.path })
  expect(await galleria.stop()).toEqual({ code: 0, signal: null })
  firstStart = galleria.output()
})
afterAll(() => prepared[Symbol.dispose]())

/** Starts what cannot start: it must end by itself with code 1 and say why on standard error, without a stack trace. */
const refused = async (options: Options): Promise<string> => {
  await using galleria = launch(options)
  expect(await galleria.exit, galleria.output()).toEqual({ code: 1, signal: null })
  expect(galleria.output()).not.toMatch(/^\s+at /mu)
  // The reason is in the log as well, as a record like any other.
  const last = galleria.records.at(-1)
  expect(last).toMatchObject({ level: "fatal", module: "runtime" })
  expect(last?.message.slice(0, 40)).toBe(galleria.errors().replaceAll(/\s+/gu, " ").slice(0, 40))
  return galleria.errors()
}

const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"))

/** Runs `npm run replay`, which asks the process that runs where the settings say. */
const replay = async (env: Readonly<Record<string, string>>, reaction: string) => {
  const script = new URL("../../commands/replay.ts", import.meta.url).pathname
  const child = spawn(process.execPath, [script, "--reaction", reaction], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (output += part.toString()))
  const [code] = (await once(child, "close")) as [number | null]
  return { code, output }
}

const isUp = async (galleria: Galleria) => (await galleria.call("GET", "/readyz")).status === 200

describe("Starting", () => {
  it("says once that it prepares the database", async () => {
    expect(firstStart).toMatch(/Preparing the database/u)
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ dataDir: folder.path })
    expect(galleria.output()).not.toMatch(/Preparing/u)
  })

  it("refuses a folder that another process uses, until that one is gone", async () => {
    using folder = temporaryFolder(prepared.path)
    const dataDir = folder.path
    await using first = await start({ dataDir })

    expect(await refused({ dataDir })).toBe(
      `the data folder ${dataDir} cannot be used: another process is using it; stop that one, or set DATA_DIR\n`,
    )
    expect(await isUp(first)).toBe(true)
    expect((await first.call("POST", "/users", { email: "ada@example.org", name: "Ada" })).status).toBe(201)

    await first.stop("SIGKILL")
    await using second = await start({ dataDir })
    expect((await second.call("GET", "/users/1")).status).toBe(200)
  })

  it("refuses a port that is in use", async () => {
    using folder = temporaryFolder(prepared.path)
    using other = temporaryFolder(prepared.path)
    await using galleria = await start({ dataDir: folder.path })
    const { port } = new URL(await galleria.url)

    expect(await refused({ dataDir: other.path, env: { PORT: port } })).toBe(
      `cannot listen on 127.0.0.1:${port}: another process listens there; stop that one, or set PORT\n`,
    )
    expect(await isUp(galleria)).toBe(true)
  })

  const hosts = ["::1", "[::1]", "::", "0.0.0.0", "127.0.0.1", "localhost"]
  it.each(hosts.filter((host) => hasIPv6 || !host.includes(":")))(
    "says where it answers when it listens on %s, and a replay finds it there",
    async (HOST) => {
      using folder = temporaryFolder(prepared.path)
      await using galleria = await start({ dataDir: folder.path, env: { HOST } })
      const { port } = new URL(await galleria.url)
      expect(await isUp(galleria)).toBe(true)
      const env = { DATA_DIR: folder.path, HOST, PORT: port }
      expect(await replay(env, "user.record-order")).toEqual({
        code: 0,
        output: expect.stringMatching(/^user\.record-order has read 0 records of order_created again$/mu),
      })
    },
  )

  it("names addresses to try that answer", async () => {
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ dataDir: folder.path })
    const line = galleria.records.map(({ message }) => message).find((message) => message.startsWith("Try "))!
    const urls = line.slice("Try ".length).split(", ")
    expect(urls.length).toBeGreaterThan(Object.keys(modules).length)
    for (const url of urls) expect([url, (await fetch(url)).status]).toEqual([url, 200])
  })

  it("refuses modules that do not exist, named as arguments or by MODULES", async () => {
    using folder = temporaryFolder()
    const dataDir = folder.path
    const says = (from: string) =>
      `${from}: there is no module "users" or "shop"; there are ${Object.keys(modules).join(", ")}`
    expect(await refused({ dataDir, modules: ["users", "order", "shop"] })).toContain(says("the command line"))
    expect(await refused({ dataDir, env: { MODULES: "users, order, shop" } })).toContain(says("MODULES"))
  })

  it("names every wrong setting in one message, the modules' own too, and shows no secret", async () => {
    using folder = temporaryFolder()
    const token = join(folder.path, "token")
    writeFileSync(token, "secret-in-a-file")
    const wrong = {
      PORT: "eighty",
      MODULES: "user,order,inventory,notification,shop",
      HOLD_MINUTES: "0",
      REDIS_URL: "redis://galleria:secret-in-a-url@localhost/cache",
      PARTITIONS: "0",
      RETENTION_DAYS: "1.5",
      RETRY_ATTEMPTS: "-1",
      LOG_LEVEL: "loud",
      LOG_FORMAT: "xml",
      DATABASE_URL: "mysql://galleria:secret-in-a-url@localhost/galleria",
      ORDER_DATABASE_URL: "postgres://galleria:secret-in-a-url@localhost/galleria?sslmode=please",
      KAFKA_BOOTSTRAP_SERVERS: "localhost:9092, somewhere",
      KAFKA_SSL: "maybe",
      KAFKA_SASL_MECHANISM: "GSSAPI",
      KAFKA_SASL_USERNAME: "",
      ORDER_STEPS: "payment,prayer",
      USER_WAIT_MS: "a while",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://galleria:secret-in-a-url@collector:4318",
      ADMIN_TOKEN_FILE: token,
      SMTP_URL: "http://galleria:secret-in-a-url@mail.example.org",
      MAIL_FROM: "Galleria <nobody>",
      CURRENCY: "dollars",
    }
    const secrets = { ADMIN_TOKEN: "secret-in-a-variable", KAFKA_SASL_PASSWORD: "secret-in-another" }
    const dataDir = join(folder.path, "data")
    const message = await refused({ dataDir, env: { ...wrong, ...secrets } })

    const named = [...message.matchAll(/^ {2}(\w+): \S/gmu)].map(([, name]) => name)
    expect(new Set(named)).toEqual(new Set(Object.keys(wrong)))
    expect(named).toHaveLength(Object.keys(wrong).length)
    expect(message).toContain(`Galleria does not start, for ${Object.keys(wrong).length} settings are wrong:\n`)
    expect(message).not.toContain("secret")
    expect(() => mkdirSync(dataDir)).not.toThrow()
  })

  it("takes a setting from a file, and names a file that cannot be read", async () => {
    using folder = temporaryFolder(prepared.path)
    const token = join(folder.path, "token")
    expect(await refused({ dataDir: folder.path, env: { ADMIN_TOKEN_FILE: token } })).toMatch(
      /ADMIN_TOKEN_FILE: there is no such file/u,
    )
    expect(await refused({ dataDir: folder.path, env: { ADMIN_TOKEN_FILE: folder.path } })).toMatch(
      /ADMIN_TOKEN_FILE: the file cannot be read/u,
    )
    for (const name of ["ADMIN_TOKEN", "DATABASE_URL", "KAFKA_SASL_PASSWORD"]) {
      writeFileSync(token, " \n")
      const message = await refused({ dataDir: folder.path, env: { [`${name}_FILE`]: token } })
      expect(message).toContain(`${name}_FILE: the file is empty`)
    }
    writeFileSync(token, "two words\n")
    const message = await refused({ dataDir: folder.path, env: { ADMIN_TOKEN_FILE: token } })
    expect(message).toMatch(/^ {2}ADMIN_TOKEN: expected printable ASCII characters without spaces$/mu)
    expect(message).not.toContain("two words")
    const level = join(folder.path, "level")
    writeFileSync(level, "loud\n")
    expect(await refused({ dataDir: folder.path, env: { LOG_LEVEL_FILE: level } })).toMatch(/LOG_LEVEL: /u)
    const mail = join(folder.path, "mail")
    writeFileSync(mail, "smtp://localhost:1\n")
    await using galleria = await start({ dataDir: folder.path, env: { SMTP_URL_FILE: mail, MAIL_FROM: "" } })
    const { body } = await galleria.call<{ checks: object }>("GET", "/readyz")
    expect(body.checks).toMatchObject({ mail: "ok" })
  })

  it("stops when PARTITIONS is not what a topic has, and otherwise goes on with what is there", async () => {
    using folder = temporaryFolder(prepared.path)
    const dataDir = folder.path
    expect(await refused({ dataDir, env: { PARTITIONS: "7" } })).toMatch(
      /^topic \w+ has 6 partitions, not 7: the number must not change/u,
    )
    await using galleria = await start({ dataDir, env: { PARTITIONS: "6" } })
    expect(await isUp(galleria)).toBe(true)
  })

  it("runs only the modules that are named as arguments, whatever MODULES says", async () => {
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ dataDir: folder.path, modules: ["user"], env: { MODULES: "order" } })

    expect(galleria.output()).toMatch(/Galleria runs user on /u)
    expect((await galleria.call("GET", "/users")).status).toBe(200)
    expect(await galleria.call("GET", "/orders")).toMatchObject({ status: 404, body: { type: "/problems/not-found" } })
    const warnings = galleria.records.filter(({ level }) => level === "warn").map(({ message }) => message)
    expect(warnings).toEqual([expect.stringMatching(/^No module here publishes order_created, /u)])
  })

  it("warns of steps in ORDER_STEPS that no module performs, and uses them as set", async () => {
    using folder = temporaryFolder(prepared.path)
    const env = { ORDER_STEPS: "inventory", MODULES: "user,order" }
    await using galleria = await start({ dataDir: folder.path, env })

    const warnings = galleria.records.filter(({ level, message }) => level === "warn" && /ORDER_STEPS/u.test(message))
    expect(warnings).toMatchObject([{ message: expect.stringMatching(/inventory, which no module here performs/u) }])
  })
})

/** The result of a request, as its client sees it. */
type Fate =
  | { readonly is: "answered"; readonly status: number; readonly tag: string }
  /** The connection was new and was not accepted. */
  | { readonly is: "refused"; readonly tag: string }
  | { readonly is: "lost"; readonly why: string; readonly tag: string }

/** Sends one request on the agent's connection. */
const send = (agent: Agent, url: string, method: string, path: string, tag: string, body?: string) =>
  new Promise<Fate>((resolve) => {
    const lost = (why: string) => resolve({ is: "lost", why, tag })
    const sent = request(`${url}${path}`, { agent, method, headers: { "content-type": "application/json" } })
    sent.once("response", (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (part: string) => (text += part))
      response.once("error", () => lost("half an answer"))
      response.once("end", () => {
        try {
          JSON.parse(text)
          resolve({ is: "answered", status: response.statusCode!, tag })
        } catch {
          lost(`an answer that is not JSON: ${text}`)
        }
      })
    })
    sent.once("error", (error) =>
      sent.reusedSocket ? lost(`no answer: ${error.message}`) : resolve({ is: "refused", tag }),
    )
    sent.end(body)
  })

/** Orders and looks, one request after the other on one connection, with and without a breath, until it is refused. */
const shopOnOneConnection = async (url: string, user: number, name: string): Promise<ReadonlyArray<Fate>> => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const fates: Array<Fate> = []
  for (let n = 0; ; n++) {
    const tag = `${name}-${n}`
    const order = JSON.stringify({ user_id: user, items: [{ product_id: tag, quantity: 1, price: "1.50" }] })
    const fate =
      n % 3 === 2
        ? await send(agent, url, "GET", `/users/${user}/orders`, tag)
        : await send(agent, url, "POST", "/orders", tag, order)
    fates.push(fate)
    if (fate.is !== "answered") return fates
    if (n % 2 === 0) await sleep(n % 7)
  }
}

describe("Stopping", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "answers, under load, every request that was sent on an open connection, and keeps what it acknowledged (%s)",
    async (signal) => {
      using folder = temporaryFolder(prepared.path)
      const dataDir = folder.path
      const fates: Array<Fate> = []
      {
        await using galleria = await start({ modules: spine, dataDir, env: { USER_WAIT_MS: "60000" } })
        const url = await galleria.url
        const { body } = await galleria.call<{ id: number }>("POST", "/users", { email: "a@example.org", name: "A" })
        const shoppers = Array.from({ length: 24 }, (_, n) => shopOnOneConnection(url, body.id, `shopper-${n}`))
        await until("orders are placed", async () => (await pagesOf(galleria, "/orders")).length > 200)

        const elapsed = stopwatch()
        expect(await galleria.stop(signal)).toEqual({ code: 0, signal: null })
        expect(elapsed().ownMillis).toBeLessThan(10_000)
        fates.push(...(await Promise.all(shoppers)).flat())
        expect(galleria.records.filter(({ level }) => level === "error" || level === "fatal")).toEqual([])
      }
      expect(fates.filter(({ is }) => is === "lost")).toEqual([])
      expect(fates.filter((fate) => fate.is === "answered" && ![200, 201, 503].includes(fate.status))).toEqual([])

      await using again = await start({ modules: spine, dataDir })
      const tags = (await pagesOf<typeof Order.Encoded>(again, "/orders")).map(({ items }) => items[0]!.product_id)
      const acknowledged = fates.flatMap((fate) => (fate.is === "answered" && fate.status === 201 ? [fate.tag] : []))
      expect(tags.sort()).toEqual(acknowledged.sort())
    },
  )

  it("answers a request that takes longer than a stop may take with 503", async () => {
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ modules: spine, dataDir: folder.path, env: { USER_WAIT_MS: "60000" } })
    const waiting = galleria.call("POST", "/orders", { user_id: 1_000, amount: "1" })
    await hasRead(galleria)
    const elapsed = stopwatch()
    expect(await galleria.stop()).toEqual({ code: 0, signal: null })
    expect(elapsed().ownMillis).toBeLessThan(10_000)
    expect(await waiting).toMatchObject({ status: 503, body: { type: "/problems/unavailable" } })
  })

  it("ends at once at a second signal", async () => {
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ modules: spine, dataDir: folder.path, env: { USER_WAIT_MS: "60000" } })
    const url = await galleria.url
    const waiting = galleria.call("POST", "/orders", { user_id: 1_000, amount: "1" }).catch(() => "no answer")
    await hasRead(galleria)
    galleria.kill("SIGTERM")
    await until("it stops", () =>
      fetch(`${url}/livez`).then(
        () => false,
        () => true,
      ),
    )
    // What comes within half a second is the same signal.
    await sleep(600)
    const elapsed = stopwatch()
    expect(await galleria.stop()).toEqual({ code: 1, signal: null })
    expect(elapsed().ownMillis).toBeLessThan(2_000)
    expect(await waiting).toBe("no answer")
  })

  it("takes a signal that npm passes on right after the terminal's for the same one", async () => {
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ dataDir: folder.path })
    const waiting = galleria.call("POST", "/orders", { user_id: 1_000, amount: "1" })
    await hasRead(galleria)
    galleria.kill("SIGINT")
    await sleep(50)
    expect(await galleria.stop("SIGINT")).toEqual({ code: 0, signal: null })
    expect(await waiting).toMatchObject({ status: 404, body: { type: "/problems/user-not-found" } })
  })

  it("stops in the middle of its first start, and the next one begins again", async () => {
    using folder = temporaryFolder()
    const dataDir = folder.path
    await using galleria = launch({ dataDir })
    await until("it prepares the database", () => /Preparing/u.test(galleria.output()))
    expect((await galleria.stop()).code).toBe(0)
    await using again = await start({ modules: spine, dataDir })
    expect(await isUp(again)).toBe(true)
  })
})

const root = new URL("../../..", import.meta.url).pathname
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>
}

describe("A script of package.json", () => {
  it.each(["start", "dev"] as const)("passes SIGTERM on to the server, which ends cleanly (%s)", async (script) => {
    using folder = temporaryFolder(prepared.path)
    await using galleria = await start({ dataDir: folder.path, script })
    const url = await galleria.url

    galleria.kill("SIGTERM")
    // npm's pipes close when its last child is gone: a server left behind would hold them open.
    expect(await Promise.race([galleria.exit, sleep(15_000, "still running")])).not.toBe("still running")
    await expect(fetch(`${url}/livez`)).rejects.toThrow("fetch failed")
    expect(galleria.output()).not.toMatch(/"level":"(?:error|fatal)"/u)
  })

  it.each(Object.entries(scripts).filter(([name]) => !name.startsWith("check")))(
    "checks the release of Node, and becomes its program (%s)",
    (_name, command) => expect(command).toMatch(/^node runtime\/needsNode24\.cjs && (?:FAULTS=\S+ )?exec /u),
  )

  it.each([
    ["v18.20.4", 1],
    ["v23.11.1", 1],
    ["v24.0.0", 0],
    ["v30.1.0", 0],
  ])("is refused by an old Node in one sentence (%s)", (version, status) => {
    const pretend = `for (const [name, value] of [["version", "${version}"], ["versions", { node: "${version.slice(1)}" }]])
      Object.defineProperty(process, name, { value })
      require("./runtime/needsNode24.cjs")`
    const run = spawnSync(process.execPath, ["-e", pretend], { cwd: root, encoding: "utf8" })
    const sentence = `Galleria needs Node 24 or newer; this is ${version} (${process.execPath}).\n`
    expect(run).toMatchObject({ status, stderr: status === 0 ? "" : sentence })
  })
})
