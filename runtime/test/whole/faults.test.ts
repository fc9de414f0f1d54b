import { appendFileSync, cpSync, readFileSync, rmSync, statfsSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { UserOrder } from "../../../modules/user/contract/api.ts"
import { auditOverHttp, pagesOf } from "../harness/audit.ts"
import { type Answer, type Galleria, start, temporaryDisk, temporaryFolder, until } from "../harness/process.ts"
import { spine } from "../harness/spine.ts"
import { makeShoppers, randomOf } from "../harness/shoppers.ts"

/** On a busy machine the news of a user may take longer than an order usually waits for them. */
const env = { USER_WAIT_MS: "60000" }

/** A folder that was started once and stopped. */
const prepared = temporaryFolder()
let galleria: Galleria

beforeAll(async () => {
  galleria = await start({ modules: spine, dataDir: prepared.path, env })
})
afterAll(async () => {
  await galleria[Symbol.asyncDispose]()
  prepared[Symbol.dispose]()
})

const json = "Host: galleria\r\nContent-Type: application/json\r\n"

/** Sends bytes on a connection of their own, and says what came back until the server closed it. */
const send = (text: string, then: "wait" | "finish" | "leave" = "wait") =>
  galleria.url.then(
    (url) =>
      new Promise<string>((resolve) => {
        const { hostname, port } = new URL(url)
        let answer = ""
        const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true }, () => {
          if (then === "finish") socket.end(text)
          else socket.write(text, () => then === "leave" && socket.destroy())
        })
        socket.setEncoding("utf8").on("data", (part: string) => (answer += part))
        socket.on("end", () => socket.end()).on("error", () => {})
        socket.once("close", () => resolve(answer))
      }),
  )

/** Status, media type and problem of an answer as it came over the wire. */
const parsed = (answer: string) => {
  const [head = "", body = ""] = answer.split("\r\n\r\n")
  return {
    status: Number(head.split(" ")[1]),
    type: /^content-type: (\S+)$/imu.exec(head)?.[1],
    body: JSON.parse(body) as { readonly type?: string },
  }
}

const problem = (status: number, slug: string) => ({
  status,
  type: "application/problem+json",
  body: { type: `/problems/${slug}`, status },
})

const emails = async () => (await pagesOf<{ email: string }>(galleria, "/users")).map(({ email }) => email)

describe.concurrent("A client that does not keep to HTTP", () => {
  const post = (email: string, length: number) =>
    `POST /users HTTP/1.1\r\n${json}Content-Length: ${length}\r\n\r\n{"email":"${email}@example.org","name":"Half"`

  it.for([
    ["garbage", "\u0016\u0003\u0001 hello\r\n\r\n", problem(400, "bad-request")],
    ["a method that is none", "FETCH /users HTTP/1.1\r\nHost: galleria\r\n\r\n", problem(400, "bad-request")],
    ["no Host", "GET /users HTTP/1.1\r\n\r\n", problem(400, "bad-request")],
    ["two Hosts", "GET /users HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", problem(400, "bad-request")],
    [
      "both Content-Length and Transfer-Encoding",
      `POST /users HTTP/1.1\r\n${json}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      problem(400, "bad-request"),
    ],
    [
      "a chunk of no length",
      `POST /users HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\n\r\nmany\r\n{}\r\n`,
      problem(400, "bad-request"),
    ],
    [
      "20 kB of headers",
      `GET /users HTTP/1.1\r\nHost: galleria\r\nX-Long: ${"a".repeat(20_000)}\r\n\r\n`,
      problem(431, "headers-too-large"),
    ],
    [
      "an address of 20 kB",
      `GET /users?${"a".repeat(20_000)} HTTP/1.1\r\nHost: galleria\r\n\r\n`,
      problem(431, "headers-too-large"),
    ],
  ] as const)("is answered a problem: %s", async ([, text, expected], { expect }) => {
    expect(parsed(await send(text))).toMatchObject(expected)
  })

  it("is answered when it speaks HTTP/1.0, and the connection ends", async ({ expect }) => {
    expect(parsed(await send("GET /users HTTP/1.0\r\n\r\n"))).toMatchObject({ status: 200, type: "application/json" })
  })

  it("is answered when its Expect header is unsupported", async ({ expect }) => {
    const head = "GET /users HTTP/1.1\r\nHost: galleria\r\nExpect: tea\r\nConnection: close\r\n\r\n"
    expect(parsed(await send(head))).toMatchObject({ status: 200 })
  })

  it("writes nothing with a body that ends half-way", async ({ expect }) => {
    expect(parsed(await send(post("ended", 100), "finish"))).toMatchObject(problem(400, "bad-request"))
    expect(await send(post("left", 100), "leave")).toBe("")
    expect(await emails()).not.toContainEqual(expect.stringMatching(/^(?:ended|left)@/u))
  })

  it("is given up on when a body stops half-way, or headers take too long", async ({ expect }) => {
    const [body, headers] = await Promise.all([
      send(post("stalled", 100)),
      send("GET /users HTTP/1.1\r\nHost: galleria\r\nX-Slow: "),
    ])
    expect(parsed(body)).toMatchObject(problem(408, "request-timeout"))
    expect(parsed(headers)).toMatchObject(problem(408, "request-timeout"))
    expect(await emails()).not.toContainEqual(expect.stringMatching(/^stalled@/u))
  })
})

describe("A client that leaves while its order is placed", () => {
  it("has ordered once or not at all, and disturbs no other client", async () => {
    const { ledger, askAgain } = makeShoppers(randomOf(1))
    const { body } = await galleria.call<{ id: number }>("POST", "/users", { email: "leaver@example.org", name: "L" })
    const leave = async (n: number) => {
      const product_id = `LEFT-${n}`
      const order = { user_id: body.id, items: [{ product_id, quantity: 1, price: "2.00" }] }
      const key = n % 2 === 0 ? undefined : `left ${n}`
      ledger.wishes.push({ path: "/orders", tag: product_id, body: order, key, id: undefined })
      const text = JSON.stringify(order)
      const header = key === undefined ? "" : `Idempotency-Key: ${key}\r\n`
      await send(
        `POST /orders HTTP/1.1\r\n${json}${header}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
        "leave",
      )
    }
    await Promise.all(Array.from({ length: 40 }, (_, n) => leave(n)))
    await askAgain(galleria)
    expect(ledger.wishes.filter(({ key, id }) => key !== undefined && id === undefined)).toEqual([])
    await until("all is delivered", async () => (await auditOverHttp(galleria, ledger)).length === 0)
    expect(galleria.records.filter(({ level }) => level === "error" || level === "fatal")).toEqual([])
  })
})

const freeBytes = (path: string) => {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/** Writes a file that leaves that much free, on a small disk only. */
const fill = (disk: string, leave: number) => {
  const ballast = join(disk, "ballast")
  const megabytes = Math.floor(freeBytes(disk) / mebibyte - leave)
  if (megabytes > smallDisk) throw new Error(`${disk} is not the small disk: ${megabytes} MB are free`)
  for (let n = 0; n < megabytes; n++) appendFileSync(ballast, Buffer.alloc(mebibyte))
  return ballast
}

/** Seconds of processor time that a process has used. */
const processorSeconds = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

const mebibyte = 1024 * 1024
/** In megabytes. */
const smallDisk = 256

/** Runs a test on a disk of its own, or says loudly that it does not run. */
const onSmallDisk = async (test: (disk: string) => Promise<void>) => {
  using disk = temporaryDisk(smallDisk)
  if (disk !== undefined) {
    cpSync(template.path, join(disk.path, "data"), { recursive: true })
    return await test(disk.path)
  }
  process.stderr.write("NOT TESTED: what happens on a full disk, for no tmpfs can be mounted here\n")
  expect(process.env["CI"] === "true" && process.getuid?.() === 0).toBe(false)
}

/** Stopped, so that it can be copied. */
const template = temporaryFolder()
beforeAll(async () => {
  await using first = await start({ modules: spine, dataDir: template.path })
  await first.stop()
})
afterAll(() => template[Symbol.dispose]())

describe("A disk that is nearly full", () => {
  it("stops writes with 503 while reads go on, and nothing is lost", () =>
    onSmallDisk(async (disk) => {
      await using galleria = await start({ modules: spine, dataDir: join(disk, "data"), env })
      const user = await galleria.call<{ id: number }>("POST", "/users", { email: "a@example.org", name: "A" })
      const placed: Array<number> = []
      const place = async () => {
        const answer = await galleria.call<{ id: number }>("POST", "/orders", { user_id: user.body.id, amount: "1.00" })
        if (answer.status === 201) placed.push(answer.body.id)
        return answer
      }
      let answer: Answer<unknown> = await place()
      expect(answer.status).toBe(201)

      const ballast = fill(disk, 40)
      const began = Date.now()
      while (answer.status === 201) answer = await place()
      expect(Date.now() - began).toBeLessThan(2_000)
      expect(answer).toMatchObject({ status: 503, body: { type: "/problems/unavailable" } })
      expect(answer.headers.get("retry-after")).toMatch(/^\d+$/u)

      expect(await galleria.call("POST", "/users", { email: "b@example.org", name: "B" })).toMatchObject({
        status: 503,
      })
      expect(await galleria.call("POST", `/orders/${placed[0]}/cancel`)).toMatchObject({ status: 503 })
      expect(await galleria.call("GET", `/orders/${placed[0]}`)).toMatchObject({ status: 200 })
      expect(await galleria.call("GET", `/users/${user.body.id}/orders`)).toMatchObject({ status: 200 })
      expect(await galleria.call("GET", "/livez")).toMatchObject({ status: 200 })
      expect(await galleria.call("GET", "/readyz")).toMatchObject({
        status: 503,
        body: { state: "unavailable", checks: { "database.order": expect.stringMatching(/nearly full/u) } },
      })
      const before = processorSeconds(galleria.pid)
      await sleep(2_000)
      expect(processorSeconds(galleria.pid) - before).toBeLessThan(1)

      rmSync(ballast)
      await until("orders are taken again", async () => (await place()).status === 201)
      await galleria.ready()
      await until("every order that was taken is processed", async () => {
        const listed = await pagesOf<typeof UserOrder.Encoded>(galleria, `/users/${user.body.id}/orders`)
        const done = listed.filter(({ status }) => status === "processed").map(({ order_id }) => order_id)
        return JSON.stringify(done.toReversed()) === JSON.stringify(placed)
      })
      expect(await galleria.stop()).toEqual({ code: 0, signal: null })
    }))
})
