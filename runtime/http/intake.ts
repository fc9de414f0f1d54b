import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http"
import { Kinds, problemOf } from "./Problem.ts"

/**
 * Requests that are worked on at once; more would wait for longer than anybody does. A fast machine answers so many
 * in a fraction of a second, a slow one in two.
 */
export const mostAtOnce = 1_024

/** A request whose body takes longer than this to arrive is no work until it is there. */
const patienceMillis = 1_000

/** Seconds after which a client that was refused is to come back. */
const retryAfter = 2

/** Before this nothing more is read of a client that was refused; short enough to refuse it again in time. */
const restMillis = 1_500

/** What must be answered above all when there is too much to do. */
const vital = new Set(["/livez", "/readyz", "/metrics"])

const body = JSON.stringify(problemOf(Kinds.unavailable))
const refusal = {
  "content-type": "application/problem+json",
  "content-length": Buffer.byteLength(body),
  "retry-after": String(retryAfter),
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
 * Bounds the work of a server: a request that comes while `mostAtOnce` are worked on is answered 503 at once, before
 * anything is done for it, so that those that are worked on are answered in time however many come. Idle connections,
 * bodies that arrive slowly and answers that are read slowly are no work. `onRefused` hears of refusals once a second.
 */
export const boundIntake = (server: Server, onRefused: (count: number) => void) => {
  const listeners = server.listeners("request") as unknown as ReadonlyArray<RequestListener>
  const open = new Map<ServerResponse, { readonly request: IncomingMessage; readonly since: number }>()
  let working = 0
  let refused = 0

  const isWork = (response: ServerResponse, request: IncomingMessage, since: number) =>
    !response.writableEnded && (request.complete || performance.now() - since < patienceMillis)

  const recount = () => {
    working = 0
    for (const [response, { request, since }] of open) if (isWork(response, request, since)) working++
  }

  server.removeAllListeners("request")
  server.on("request", (request, response) => {
    if (working >= mostAtOnce && !vital.has(request.url!)) {
      refused++
      rest(request)
      response.writeHead(503, refusal).end(request.method === "HEAD" ? undefined : body)
      return
    }
    working++
    open.set(response, { request, since: performance.now() })
    response.once("close", () => {
      open.delete(response)
      working = Math.max(working - 1, 0)
    })
    for (const listener of listeners) listener.call(server, request, response)
  })

  const timer = setInterval(() => {
    recount()
    if (refused > 0) onRefused(refused)
    refused = 0
  }, 1_000)
  server.once("close", () => clearInterval(timer))
}
