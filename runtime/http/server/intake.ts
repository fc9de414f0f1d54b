import type { IncomingMessage, Server, ServerResponse } from "node:http"
import { isWelcome, makeBodies, mayHaveBody, type ReceivedBody } from "./body.ts"
import { Kinds, problemOf } from "../Problem.ts"

/**
 * The most requests in progress. More would have to wait for longer than clients do. A fast machine answers this many in a
 * fraction of a second, a slow one in two.
 */
export const mostAtOnce = 1_024

/** `Retry-After` of a rejected request, in seconds. */
const retryAfter = 2

/** How long the connection of a rejected request is not read. */
const restMillis = 1_500

/** Paths that are answered under overload as well. */
const vital = new Set(["/livez", "/readyz", "/metrics"])

type Listener = (this: Server<typeof ReceivedBody>, request: ReceivedBody, response: ServerResponse) => void

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
 * Stops reading from the connection for a while, after the rest of the request. A rejection costs time as well, so a client
 * that retries at once must not get ahead of those that wait.
 */
const rest = (request: IncomingMessage) =>
  request.once("close", () => {
    request.socket.pause()
    setTimeout(() => request.socket.resume(), restMillis).unref()
  })

/**
 * Passes requests to a server's listeners once their bodies are complete, and bounds the requests in progress: while there
 * are `mostAtOnce`, every further one is answered 503 at once, so that those in progress are answered in time. Idle
 * connections, bodies that arrive slowly and answers that are read slowly do not count; the bytes of all bodies are
 * bounded. `onRefused` is called with the number of rejections once a second, if there were any.
 */
export const boundIntake = (server: Server<typeof ReceivedBody>, onRefused: (count: number) => void) => {
  const listeners = server.listeners("request") as unknown as ReadonlyArray<Listener>
  const open = new Set<ServerResponse>()
  const bodies = makeBodies()
  let working = 0
  let refused = 0

  const turnAway = (request: ReceivedBody, response: ServerResponse) => {
    refused++
    refuse(request, response)
  }

  const work = (request: ReceivedBody, response: ServerResponse) => {
    if (working >= mostAtOnce && !vital.has(request.url!)) return turnAway(request, response)
    working++
    open.add(response)
    response.once("close", () => {
      open.delete(response)
      working = Math.max(working - 1, 0)
    })
    for (const listener of listeners) listener.call(server, request, response)
  }

  const take = (request: ReceivedBody, response: ServerResponse) => {
    if (!mayHaveBody(request) || working >= mostAtOnce) return work(request, response)
    bodies.receive(
      request,
      response,
      () => work(request, response),
      () => turnAway(request, response),
    )
  }

  // Without a listener for it, Node ignores a request for an upgrade.
  for (const event of ["request", "checkContinue", "upgrade"]) server.removeAllListeners(event)
  server.on("request", take)
  server.on("checkContinue", (request, response) => {
    if (working < mostAtOnce && isWelcome(request)) response.writeContinue()
    take(request, response)
  })

  const timer = setInterval(() => {
    working = 0
    for (const response of open) if (!response.writableEnded) working++
    if (refused > 0) onRefused(refused)
    refused = 0
  }, 1_000)
  server.once("close", () => clearInterval(timer))
}
