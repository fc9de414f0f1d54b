import { IncomingMessage, type ServerResponse } from "node:http"

/** The largest body, in bytes. */
const mostBody = 1024 * 1024

/** Bytes that bodies may take up together, beyond the first `small` of each. */
export const mostHeld = 64 * 1024 * 1024
const small = 16 * 1024

/** What is still read of a body that was refused, in bytes and milliseconds: a client that sends it all has its answer. */
const rest = { bytes: 64 * 1024 * 1024, millis: 5_000 }

/** A request with its body, if its method has one, or with what is wrong with that. */
export class Received extends IncomingMessage {
  body: Buffer | "too large" | "unsupported" | undefined
}

export const mayHaveBody = ({ method }: IncomingMessage) => method !== "GET" && method !== "HEAD"

const isJson = /^\s*application\/json\s*(?:;|$)/iu

/** What is wrong with a body, as far as the headers tell; without a type it is wrong unless it is empty. */
const faultIn = ({ headers }: IncomingMessage): "too large" | "unsupported" | undefined => {
  const length = Number(headers["content-length"] ?? 0)
  if (length === 0 && headers["transfer-encoding"] === undefined) return undefined
  const { "content-type": type, "content-encoding": encoding } = headers
  if (encoding !== undefined || (type !== undefined && !isJson.test(type))) return "unsupported"
  if (type === undefined && length > 0) return "unsupported"
  return length > mostBody ? "too large" : undefined
}

/** Reads on for a while, that a client which sends before it reads has its answer; then ends the connection. */
const readOff = (request: IncomingMessage, response: ServerResponse) => {
  let bytes = 0
  request.on("data", (part: Buffer) => {
    bytes += part.length
    if (bytes > rest.bytes) request.socket.destroy()
  })
  response.once("finish", () => {
    if (!request.complete) setTimeout(() => request.complete || request.socket.destroy(), rest.millis).unref()
  })
}

/** Bodies that are received by one server. */
export const makeBodies = () => {
  let held = 0

  /**
   * Calls `then` once the body is there, or is known to be refused: at once where the headers say so. Calls
   * `noRoom` instead when all bodies that are being received or worked on take up too much together.
   */
  const receive = (request: Received, response: ServerResponse, then: () => void, noRoom: () => void) => {
    const parts: Array<Buffer> = []
    let size = 0
    let mine = 0
    const end = (next: () => void) => {
      request.off("data", take).off("end", complete)
      if (!request.complete) readOff(request, response)
      next()
    }
    const refuse = (fault: "too large" | "unsupported") => {
      request.body = fault
      end(then)
    }
    const take = (part: Buffer) => {
      parts.push(part)
      size += part.length
      if (size > mostBody) return refuse("too large")
      const more = Math.max(size - small, 0) - mine
      mine += more
      held += more
      if (held > mostHeld) end(noRoom)
    }
    const complete = () => {
      if (size > 0 && request.headers["content-type"] === undefined) return refuse("unsupported")
      request.body = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
      then()
    }
    response.once("close", () => {
      held -= mine
      mine = 0
    })
    const fault = faultIn(request)
    if (fault !== undefined) return refuse(fault)
    request.on("data", take).on("end", complete)
  }

  return { receive }
}

/** Whether a client that asks first may send its body. */
export const isWelcome = (request: IncomingMessage) => faultIn(request) === undefined
