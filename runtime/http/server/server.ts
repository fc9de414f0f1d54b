import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer, type Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { turnedAway } from "../../telemetry/http.ts"
import { ReceivedBody } from "./body.ts"
import { urlOf } from "../address.ts"
import { boundIntake } from "./intake.ts"
import { type Kind, Kinds, problemOf, responseOf } from "../Problem.ts"

/** The address cannot be listened on. */
class AddressUnusable extends Schema.TaggedError<AddressUnusable>()("AddressUnusable", {
  host: Schema.String,
  port: Schema.Int,
  cause: Schema.Defect(),
}) {
  override get message(): string {
    const code = String((this.cause as { code?: unknown } | undefined)?.code)
    const why =
      code === "EADDRINUSE"
        ? "another process listens there; stop that one, or set PORT"
        : code === "EACCES"
          ? "this user may not listen there; set PORT to 1024 or more"
          : code
    const { host } = new URL(urlOf(this.host, this.port))
    return `cannot listen on ${host}: ${why}`
  }
}

/**
 * The most connections that wait to be accepted; the system may allow fewer. A further one is dropped, and its client
 * retries after a second or more.
 */
const backlog = 4_096

/** How long requests in progress may take when the process stops, which is to end within 10 s. */
const graceMillis = 5_000

/** How long idle connections are kept open when the process stops: a request may be in flight. */
const lullMillis = 500

/**
 * Listens on a port, which it returns. Answers with `meanwhile`, if that is given, until `open` has run, and from then on
 * by the router's routes, which must be complete.
 *
 * When its scope closes, the port is closed at once, requests on open connections are answered, and connections are closed
 * with the answers, or soon when they are idle.
 */
export const serve = (options: {
  readonly host: string
  readonly port: number
  readonly meanwhile?: Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>
}) =>
  Effect.gen(function* () {
    const { host, port } = options
    const router = yield* HttpRouter.HttpRouter
    const node = nodeServer()
    const sockets = new Set<Socket>()
    node.on("connection", (socket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
    const server = yield* Layer.build(
      NodeHttpServer.layerServer(() => node, { host, port, backlog, gracefulShutdownTimeout: graceMillis }),
    ).pipe(
      Effect.mapError(({ cause }) => new AddressUnusable({ host, port, cause })),
      Effect.map((context) => Context.get(context, HttpServer.HttpServer)),
    )
    let stopping = false
    let answer: ReturnType<typeof router.asHttpEffect> = options.meanwhile ?? encodingSemicolons(router.asHttpEffect())
    // While the process stops, each answer closes its connection.
    const routes = Effect.map(requiringOneHost(Effect.suspend(() => answer)), (response) =>
      stopping ? HttpServerResponse.setHeader(response, "connection", "close") : response,
    )
    yield* server.serve(routes)
    const log = Effect.runForkWith(yield* Effect.context())
    boundIntake(node, (count) =>
      log(Effect.andThen(turnedAway(count), Effect.logWarning(`Overloaded: rejected ${count} requests with 503`))),
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stopping = true
        closeIdleConnections(node, sockets)
      }),
    )
    const address = node.address()
    const open = Effect.sync(() => void (answer = encodingSemicolons(router.asHttpEffect())))
    return { port: typeof address === "object" && address !== null ? address.port : port, open }
  })

/** Rejects a request with no `Host` or several (RFC 9112 §3.2) with a problem. Node takes the first of several. */
const requiringOneHost = <E, R>(routes: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const { httpVersion, rawHeaders } = NodeHttpServerRequest.toIncomingMessage(request)
    const hosts = countOf("host", rawHeaders)
    return hosts > 1 || (hosts === 0 && httpVersion === "1.1")
      ? Effect.succeed(responseOf(Kinds.badRequest, { connection: "close" }))
      : routes
  })

/** How often a header occurs among names and values in turn. */
const countOf = (name: string, rawHeaders: ReadonlyArray<string>) => {
  let count = 0
  for (let n = 0; n < rawHeaders.length; n += 2) {
    if (rawHeaders[n]!.length === name.length && rawHeaders[n]!.toLowerCase() === name) count++
  }
  return count
}

/** Encodes semicolons in the path. Works round the router, which takes what follows one for a query. */
const encodingSemicolons = <E, R>(routes: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const [path, ...query] = request.url.split("?")
    if (!path!.includes(";")) return routes
    const url = [path!.replaceAll(";", "%3B"), ...query].join("?")
    return Effect.provideService(routes, HttpServerRequest.HttpServerRequest, request.modify({ url }))
  })

/**
 * A response that Node writes at once. The framework sets `strictContentLength`, with which Node sends an empty part after the
 * body, by a slower call. The framework itself takes the length from the body.
 */
class PlainResponse extends ServerResponse<ReceivedBody> {}
Object.defineProperty(PlainResponse.prototype, "strictContentLength", { get: () => false, set: () => {} })

const nodeServer = () => {
  const server = createServer({
    IncomingMessage: ReceivedBody,
    ServerResponse: PlainResponse,
    requireHostHeader: false,
    requestTimeout: 30_000,
    headersTimeout: 15_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 16 * 1024,
  })
  // Other expectations are ignored, which RFC 9110 §10.1.1 allows; Node would answer without a problem.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  server.on("clientError", (error: Error & { code?: string }, socket: Duplex) => {
    if (error.code === "ECONNRESET" || !socket.writable) return socket.destroy()
    socket.end(rawProblem(kindOf(error.code)))
  })
  return server
}

const kindOf = (code: string | undefined): Kind =>
  code === "HPE_HEADER_OVERFLOW"
    ? Kinds.headersTooLarge
    : code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? Kinds.requestTimeout
      : Kinds.badRequest

/** A problem as a whole HTTP response, for a socket without a response object. */
const rawProblem = (kind: Kind): string => {
  const body = JSON.stringify(problemOf(kind))
  return [
    `HTTP/1.1 ${kind.status} ${kind.title}`,
    "Content-Type: application/problem+json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n")
}

/** Closes idle connections while the server closes, from `lullMillis` on. */
const closeIdleConnections = (server: Server, sockets: ReadonlySet<Socket>) => {
  const closeIdle = keepIdleConnectionsOnClose(server)
  const began = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - began < lullMillis) return
    closeIdle()
    // Node does not count a connection as idle that has never sent anything, such as one that a browser has in reserve.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }, 100)
  server.once("close", () => clearInterval(timer))
}

/**
 * Keeps idle connections open when the server closes, and returns the method that closes them.
 *
 * Works round Node, whose `Server.close` closes idle connections at once, since Node 19 and without an option: a client that
 * is sending a request at that moment gets a reset. So the method that it calls is replaced. Can go when Node has an
 * option for it.
 */
const keepIdleConnectionsOnClose = (server: Server): (() => void) => {
  const closeIdle = server.closeIdleConnections.bind(server)
  server.closeIdleConnections = () => {}
  return closeIdle
}
