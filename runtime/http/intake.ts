import { IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http"
import { Kinds, problemOf } from "./Problem.ts"

/**
 * Requests that are worked on at once; more would wait for longer than anybody does. A fast machine answers so many
 * in a fraction of a second, a slow one in two.
 */
export const mostAtOnce = 1_024

/** The largest body, in bytes. */
const mostBody = 1024 * 1024

/** Seconds after which a client that was refused is to come back. */
const retryAfter = 2

/** Before this nothing more is read of a client that was refused; short enough to refuse it again in time. */
const restMillis = 1_500

/** What must be answered above all when there is too much to do. */
const vital = new Set(["/livez", "/readyz", "/metrics"])

const refusalBody = JSON.stringify(problemOf(Kinds.unavailable))
const refusal = {
  "content-type": "application/problem+json",
  "content-length": Buffer.byteLength(refusalBody),
  "retry-after": String(retryAfter),
}

const refuse = (request: IncomingMessage, response: ServerResponse) => {
  rest(request)
  response.writeHead(503, refusal).end(request.method === "HEAD" ? undefined : refusalBody)
}

/**
 * To refuse costs as well: whoever asks again at once does not get a turn sooner than whoever waits. What is left of
 * the request is read first.
 */
const rest = (request: IncomingMessage) =>
  request.once("close", () => {
    request.socket.pause()
    setTimeout(() => request.socket.resume(), restMillis).unref()
  })

/** A request whose body is there, unless it is of a method that has none. */
export class Received extends IncomingMessage {
  body: Buffer | "too large" | undefined
}

const mayHaveBody = ({ method }: IncomingMessage) => method !== "GET" && method !== "HEAD"

const receive = (request: Received, then: () => void) => {
  const parts: Array<Buffer> = []
  let size = 0
  const take = (part: Buffer) => {
    parts.push(part)
    size += part.length
    if (size <= mostBody) return
    request.off("data", take).off("end", end)
    request.body = "too large"
    then()
  }
  const end = () => {
    request.body = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    then()
  }
  request.on("data", take).on("end", end)
}

/**
 * Hands a server's listeners requests whose bodies are there, and bounds their work: a request that comes while
 * `mostAtOnce` are worked on is answered 503 at once, before anything is done for it, so that those that are worked on
 * are answered in time however many come. Idle connections, bodies that arrive slowly and answers that are read slowly
 * are no work. `onRefused` hears of refusals once a second.
 */
export const boundIntake = (server: Server<typeof Received>, onRefused: (count: number) => void) => {
  const listeners = server.listeners("request") as unknown as ReadonlyArray<RequestListener>
  const open = new Set<ServerResponse>()
  let working = 0
  let refused = 0

  const work = (request: Received, response: ServerResponse) => {
    if (working >= mostAtOnce && !vital.has(request.url!)) {
      refused++
      return refuse(request, response)
    }
    working++
    open.add(response)
    response.once("close", () => {
      open.delete(response)
      working = Math.max(working - 1, 0)
    })
    for (const listener of listeners) listener.call(server, request, response as never)
  }

  // Without listeners of their own, Node lets clients go on that wait for it, and asks for nothing to be upgraded.
  for (const event of ["request", "checkContinue", "upgrade"]) server.removeAllListeners(event)
  server.on("request", (request, response) => {
    if (mayHaveBody(request) && working < mostAtOnce) receive(request, () => work(request, response))
    else work(request, response)
  })

  const timer = setInterval(() => {
    working = 0
    for (const response of open) if (!response.writableEnded) working++
    if (refused > 0) onRefused(refused)
    refused = 0
  }, 1_000)
  server.once("close", () => clearInterval(timer))
}
