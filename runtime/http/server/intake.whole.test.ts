import { once } from "node:events"
import { createServer, type Server } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { until } from "../../test/harness/process.ts"
import { mostHeld, ReceivedBody } from "./body.ts"
import { boundIntake, mostAtOnce } from "./intake.ts"

const mebibyte = 1024 * 1024

const open: Array<Disposable> = []
afterEach(() => open.splice(0).forEach((one) => one[Symbol.dispose]()))

/** A server that answers what its intake lets through with what became of the body, or never where that says so. */
const bounded = async () => {
  const met: Array<ReceivedBody> = []
  const server: Server<typeof ReceivedBody> = createServer({ IncomingMessage: ReceivedBody })
  server.on("request", (request, response) => {
    met.push(request)
    if (request.url === "/never") return
    response.end(Buffer.isBuffer(request.body) ? `${request.body.length} bytes` : String(request.body))
  })
  let refused = 0
  boundIntake(server, (count) => (refused += count))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  open.push({ [Symbol.dispose]: () => (server.closeAllConnections(), void server.close()) })

  /** A client that has sent this much, and what it was answered so far. */
  const client = (...parts: ReadonlyArray<string | Buffer>) => {
    const socket: Socket = connect(port, "127.0.0.1").on("error", () => {})
    let answer = ""
    socket.setEncoding("latin1").on("data", (text: string) => (answer += text))
    for (const part of parts) socket.write(part)
    open.push({ [Symbol.dispose]: () => socket.destroy() })
    return {
      socket,
      answer: () => answer,
      answered: (what: RegExp) => until(`the answer is ${what}, not "${answer}"`, () => what.test(answer)),
    }
  }
  return { client, met, refused: () => refused }
}

const head = (headers: string, path = "/") => `POST ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n`
const json = "Content-Type: application/json"

describe("A request that is refused before its body is there", () => {
  it("is answered at once when its length says that it is too large, without being waited for", async () => {
    const { client } = await bounded()
    const { answered } = client(head(`${json}\r\nContent-Length: ${1024 * mebibyte}`), "{")
    await answered(/^HTTP\/1\.1 200 [^]*too large$/u)
  })

  it("is not answered 100 when it expects that", async () => {
    const { client } = await bounded()
    const expecting = `${json}\r\nExpect: 100-continue\r\nContent-Length: `
    const large = client(head(`${expecting}${1024 * mebibyte}`))
    await large.answered(/too large$/u)
    expect(large.answer()).not.toMatch(/100 Continue/u)
    const small = client(head(`${expecting}2`))
    await small.answered(/^HTTP\/1\.1 100 Continue/u)
    small.socket.write("{}")
    await small.answered(/2 bytes$/u)
  })

  it.each([
    ["another media type", "Content-Type: text/plain"],
    ["no media type", "X: y"],
    ["a Content-Encoding", `${json}\r\nContent-Encoding: gzip`],
    ["an encoding that changes nothing", `${json}\r\nContent-Encoding: identity`],
  ])("is answered at once when its body has %s", async (_what, headers) => {
    const { client } = await bounded()
    await client(head(`${headers}\r\nContent-Length: 10`), "{").answered(/unsupported$/u)
  })

  it("may have no media type where there is no body, in chunks too", async () => {
    const { client } = await bounded()
    await client(head("Content-Length: 0")).answered(/0 bytes$/u)
    await client(head("Transfer-Encoding: chunked"), "0\r\n\r\n").answered(/0 bytes$/u)
    await client(head("Transfer-Encoding: chunked"), "2\r\n{}\r\n0\r\n\r\n").answered(/unsupported$/u)
  })

  it("is answered 503 at once while there is too much to do, though its body never ends", async () => {
    const { client, met } = await bounded()
    const whole = head(`${json}\r\nContent-Length: 2`, "/never")
    for (let n = 0; n < mostAtOnce; n++) client(whole, "{}")
    await until("all are worked on", () => met.length === mostAtOnce)
    const { answered } = client(head(`${json}\r\nContent-Length: 100`), "{")
    await answered(/^HTTP\/1\.1 503 [^]*retry-after: \d/u)
    expect(met).toHaveLength(mostAtOnce)
  })

  it("has its connection ended when its body goes on for long", { timeout: 30_000 }, async () => {
    const { client } = await bounded()
    const { socket, answered } = client(head(`${json}\r\nContent-Length: ${1024 * mebibyte}`), "{")
    await answered(/too large$/u)
    await until("the connection is ended", () => socket.destroyed)
  })
})

describe("Bodies that are being received", () => {
  const almost = Buffer.alloc(mebibyte - 1, " ")

  it("are held to a sum: more are refused, small ones go on, and room comes back", async () => {
    const { client, refused } = await bounded()
    const unfinished = head(`${json}\r\nContent-Length: ${mebibyte}`)
    const count = mostHeld / mebibyte + 16
    const clients = Array.from({ length: count }, () => client(unfinished, almost))
    await until("some are refused", () => clients.filter(({ answer }) => answer() !== "").length >= 8)
    for (const { answer } of clients) expect(answer()).toMatch(/^(?:$|HTTP\/1\.1 503 )/u)
    expect(clients.filter(({ answer }) => answer() !== "").length).toBeLessThan(20)
    await client(head(`${json}\r\nContent-Length: 2`), "{}").answered(/2 bytes$/u)
    await until("it is said", () => refused() >= 8)

    for (const { socket } of clients) socket.destroy()
    await until("there is room", async () => {
      const one = client(unfinished, almost, " ")
      await until("it is answered", () => one.answer() !== "")
      return one.answer().endsWith(`${mebibyte} bytes`)
    })
  })

  it("count until they are answered, and no longer", async () => {
    const { client, met } = await bounded()
    const whole = (path: string) => client(head(`${json}\r\nContent-Length: ${mebibyte}`, path), almost, " ")
    for (let n = 0; n < 2 * (mostHeld / mebibyte); n++) await whole("/").answered(/bytes$/u)
    const held = Array.from({ length: mostHeld / mebibyte }, () => whole("/never"))
    await until("all are worked on", () => met.filter(({ url }) => url === "/never").length === held.length)
    const more = Array.from({ length: 8 }, () => whole("/never"))
    await until("some are refused", () => more.some(({ answer }) => answer().startsWith("HTTP/1.1 503 ")))
    expect(held.every(({ answer }) => answer() === "")).toBe(true)
  })
})
