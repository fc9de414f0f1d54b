import { once } from "node:events"
import { connect as dial, createServer, type AddressInfo, type Socket } from "node:net"
import { connect, expect, request } from "./connection.ts"
import { orderOf } from "./orders.ts"
import { run } from "./postgres.ts"
import { startServer } from "./server.ts"

/** The statement that places one order, as Galleria's driver sends it, and what it is sent with. */
export interface Statement {
  readonly text: string
  readonly values: ReadonlyArray<string | null>
}

/** Users that the order module knows of in a database that was prepared by `prepareOrders`. */
export const knownUsers = 64

/**
 * Lets Galleria make the tables of its order module in the database at `url`, and place one order; says how the driver
 * did it, by what it sent. The database is then as good for others to be measured on.
 */
export const prepareOrders = async (url: string): Promise<Statement> => {
  await using tap = await tapOn(url)
  await using server = await startServer({ modules: ["order"], env: { ORDER_DATABASE_URL: tap.url } })
  await run(url, `insert into "order".users_cache select generate_series(1, ${knownUsers})`)
  using connection = await connect(server.port)
  await expect(connection, 201, request("POST", "/orders", orderOf("amount", 1)))
  const parse = tap.sent("P").find((body) => body.includes("insert into orders"))
  if (parse === undefined) throw new Error("no statement that places an order was prepared")
  const [name, text] = textsIn(parse, 2)
  const bind = tap.sent("B").find((body) => textsIn(body, 2)[1] === name)
  return { text: text!, values: valuesIn(bind!) }
}

/** What a client sends to the server at `url` by another one, which passes everything on. */
const tapOn = async (url: string) => {
  const target = new URL(url)
  const sent: Array<Array<Buffer>> = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = dial(Number(target.port), target.hostname)
    const chunks: Array<Buffer> = []
    sent.push(chunks)
    client.on("data", (chunk) => void chunks.push(chunk))
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on("error", () => {}).on("close", () => to.destroy())
      from.pipe(to)
    }
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const tapped = new URL(url)
  tapped.port = String((server.address() as AddressInfo).port)
  return {
    url: tapped.href,
    /** The bodies of the messages of that kind, connection by connection. */
    sent: (kind: string) => sent.flatMap((chunks) => messagesIn(Buffer.concat(chunks), kind)),
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** What a client asks first whether the server speaks TLS, where the kind of a message would be. */
const sslRequest = 80_877_103

/** PostgreSQL's frontend messages: first those without a kind, then kind, length and body of each. */
const messagesIn = (bytes: Buffer, kind: string): ReadonlyArray<Buffer> => {
  let at = bytes.readInt32BE(4) === sslRequest ? 8 : 0
  at += bytes.readInt32BE(at)
  const found: Array<Buffer> = []
  while (at + 5 <= bytes.length) {
    const length = bytes.readInt32BE(at + 1)
    if (bytes.toString("latin1", at, at + 1) === kind) found.push(bytes.subarray(at + 5, at + 1 + length))
    at += 1 + length
  }
  return found
}

/** The texts, each ended by a zero, that a message begins with. */
const textsIn = (body: Buffer, count: number): ReadonlyArray<string> => body.toString("utf8").split("\0", count)

/** Microseconds from 1970 to where PostgreSQL's time in binary begins. */
const epochMicros = BigInt(Date.UTC(2000, 0, 1)) * 1_000n

/** The parameters of a Bind message, of which those that are sent in binary have to be times. */
const valuesIn = (body: Buffer): ReadonlyArray<string | null> => {
  let at = body.indexOf(0, body.indexOf(0) + 1) + 1
  const take = () => body.readInt16BE((at += 2) - 2)
  const formats = Array.from({ length: take() }, take)
  return Array.from({ length: take() }, (_, n) => {
    const length = body.readInt32BE((at += 4) - 4)
    if (length < 0) return null
    const value = body.subarray(at, (at += length))
    if (formats[n] !== 1) return value.toString()
    return new Date(Number((value.readBigInt64BE() + epochMicros) / 1_000n)).toISOString()
  })
}
