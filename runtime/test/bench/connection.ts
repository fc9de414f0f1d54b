import { once } from "node:events"
import { createConnection } from "node:net"

export interface Answer {
  readonly status: number
  readonly body: string
}

/** One keep-alive connection with one request at a time: what a load generator needs of HTTP, and nothing else. */
export interface Connection extends Disposable {
  readonly send: (request: Buffer) => Promise<Answer>
}

/** The bytes of a request, to be made once and sent often. */
export const request = (method: "GET" | "POST" | "PUT", path: string, body?: unknown): Buffer => {
  const text = body === undefined ? "" : JSON.stringify(body)
  const type = body === undefined ? "" : `content-type: application/json\r\ncontent-length: ${text.length}\r\n`
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${type}\r\n${text}`)
}

/** Connects to a server on this machine whose answers carry a Content-Length and are small. */
export const connect = async (port: number): Promise<Connection> => {
  const socket = createConnection({ port, host: "127.0.0.1", noDelay: true })
  await once(socket, "connect")
  let received = ""
  let waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined

  const fail = (error: Error) => {
    waiting?.reject(error)
    waiting = undefined
  }
  socket.setEncoding("latin1")
  socket.on("error", fail)
  socket.on("close", () => fail(new Error("the server closed the connection")))
  socket.on("data", (chunk: string) => {
    received += chunk
    const head = received.indexOf("\r\n\r\n")
    if (head < 0) return
    const length = /\r\ncontent-length: (\d+)/iu.exec(received.slice(0, head))
    if (length === null) return fail(new Error(`an answer without Content-Length: ${received.slice(0, head)}`))
    const end = head + 4 + Number(length[1])
    if (received.length < end) return
    const answer = { status: Number(received.slice(9, 12)), body: received.slice(head + 4, end) }
    received = received.slice(end)
    waiting?.resolve(answer)
    waiting = undefined
  })

  return {
    send: (bytes) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject }
        if (socket.destroyed) return fail(new Error("the connection is closed"))
        socket.write(bytes)
      }),
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

/** Sends a request that must be answered with that status. */
export const expect = async (connection: Connection, status: number, bytes: Buffer): Promise<any> => {
  const answer = await connection.send(bytes)
  if (answer.status !== status) {
    const line = bytes.toString().split("\r\n")[0]
    throw new Error(`${line} was answered ${answer.status}, not ${status}: ${answer.body}`)
  }
  return JSON.parse(answer.body)
}
