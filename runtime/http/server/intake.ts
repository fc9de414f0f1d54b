import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http"
import { isWelcome, makeBodies, mayHaveBody, type Received } from "./body.ts"
import { Kinds, problemOf } from "../Problem.ts"

/**
 * Requests that are worked on at once; more would wait for longer than anybody does. A fast machine answers so many
 * in a fraction of a second, a slow one in two.
 */
export const mostAtOnce = 1_024

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

/**
 * Hands a server's listeners requests whose bodies are there, and bounds their work: a request that comes while
 * `mostAtOnce` are worked on is answered 503 at once, before anything is done for it, so that those that are worked on
 * are answered in time however many come. Idle connections, bodies that arrive slowly and answers that are read slowly
 * are no work; bodies are held to a sum. `onRefused` is called with the count of refusals once a second.
 */
export const boundIntake = (server: Server<typeof Received>, onRefused: (count: number) => void) => {
  const listeners = server.listeners("request") as unknown as ReadonlyArray<RequestListener>
  const open = new Set<ServerResponse>()
  const bodies = makeBodies()
  let working = 0
  let refused = 0

  const turnAway = (request: Received, response: ServerResponse) => {
    refused++
    refuse(request, response)
  }

  const work = (request: Received, response: ServerResponse) => {
    if (working >= mostAtOnce && !vital.has(request.url!)) return turnAway(request, response)
    working++
    open.add(response)
    response.once("close", () => {
      open.delete(response)
      working = Math.max(working - 1, 0)
    })
    for (const listener of listeners) listener.call(server, request, response as never)
  }

  const take = (request: Received, response: ServerResponse) => {
    if (!mayHaveBody(request) || working >= mostAtOnce) return work(request, response)
    bodies.receive(
      request,
      response,
      () => work(request, response),
      () => turnAway(request, response),
    )
  }

  // Without a listener of its own, Node asks for nothing to be upgraded.
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
