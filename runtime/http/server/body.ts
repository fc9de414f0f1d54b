import { IncomingMessage, type ServerResponse } from "node:http"

/** The most bytes of a body. */
const mostBody = 1024 * 1024

/** The most bytes of all bodies together, without the first `small` of each. */
export const mostHeld = 64 * 1024 * 1024
const small = 16 * 1024

/** How much of a rejected body is still read, in bytes and milliseconds: some clients read no answer before they have sent all. */
const rest = { bytes: 64 * 1024 * 1024, millis: 5_000 }

/** A request with its body, if its method has one, or with the reason why the body was rejected. */
export class ReceivedBody extends IncomingMessage {
  body: Buffer | "too large" | "unsupported" | undefined
}

export const mayHaveBody = ({ method }: IncomingMessage) => method !== "GET" && method !== "HEAD"

const isJson = /^\s*application\/json\s*(?:;|$)/iu

/** The login of the console is the only form. */
const isForm = /^\s*application\/x-www-form-urlencoded\s*(?:;|$)/iu
const formPath = "/console/login"

/** What the headers show to be wrong with a body; one without a media type is wrong unless it is empty. */
const faultIn = ({ headers, url }: IncomingMessage): "too large" | "unsupported" | undefined => {
  const length = Number(headers["content-length"] ?? 0)
  if (length === 0 && headers["transfer-encoding"] === undefined) return undefined
  const { "content-type": type, "content-encoding": encoding } = headers
  if (encoding !== undefined || (type !== undefined && !(url === formPath ? isForm : isJson).test(type)))
    return "unsupported"
  if (type === undefined && length > 0) return "unsupported"
  return length > mostBody ? "too large" : undefined
}

/** Reads on within the bounds of `rest`, then ends the connection. */
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

/** Receives the bodies of one server. */
export const makeBodies = () => {
  let held = 0

  /**
   * Calls `then` when the body is complete or was rejected, which the headers may show at once. Calls `noRoom` instead when
   * the bodies of all requests that have not been answered yet exceed `mostHeld`.
   */
  const receive = (request: ReceivedBody, response: ServerResponse, then: () => void, noRoom: () => void) => {
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

/** Whether a client that sends `Expect: 100-continue` may send its body. */
export const isWelcome = (request: IncomingMessage) => faultIn(request) === undefined
