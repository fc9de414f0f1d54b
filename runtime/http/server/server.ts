import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer, type Server } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { turnedAway } from "../../telemetry/http.ts"
import { Received } from "./body.ts"
import { urlOf } from "../address.ts"
import { boundIntake } from "./intake.ts"
import { type Kind, Kinds, problemOf, responseOf } from "../Problem.ts"

/** The address cannot be listened on. */
export class AddressUnusable extends Schema.TaggedError<AddressUnusable>()("AddressUnusable", {
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
 * Connections that wait to be taken, when many come at once; the system may allow fewer. One that finds no room is
 * dropped without a word, and its client finds out in seconds.
 */
const backlog = 4_096

/** How long requests that are under way may take once the process stops; its end comes within 10 s. */
const graceMillis = 5_000

/** How long a connection that is idle when the process stops may still bring a request: one may be on its way. */
const lullMillis = 500

/**
 * Listens, and says where: answers `meanwhile`, if that is given, until `open` has run, then by the router's routes,
 * which must all be there by then.
 *
 * When its scope closes, the port closes at once; requests that were sent on open connections are answered, and the
 * connections end with the answers, or soon when they bring nothing more.
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
    let answer: ReturnType<typeof router.asHttpEffect> = options.meanwhile ?? inSegments(router.asHttpEffect())
    // Answers tell their clients to go once the process stops, so that connections end while the server closes.
    const routes = Effect.map(refusingHostless(Effect.suspend(() => answer)), (response) =>
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
        endConnections(node, sockets)
      }),
    )
    const address = node.address()
    const open = Effect.sync(() => void (answer = inSegments(router.asHttpEffect())))
    return { port: typeof address === "object" && address !== null ? address.port : port, open }
  })

/** Node's own refusal of a request without `Host` (RFC 9112 §3.2) is no problem of RFC 9457. */
const refusingHostless = <E, R>(routes: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    request.headers["host"] === undefined && NodeHttpServerRequest.toIncomingMessage(request).httpVersion === "1.1"
      ? Effect.succeed(responseOf(Kinds.badRequest, { connection: "close" }))
      : routes,
  )

/** The router would take what follows a semicolon for a query; to us it is a part of the path as any other. */
const inSegments = <E, R>(routes: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const [path, ...query] = request.url.split("?")
    if (!path!.includes(";")) return routes
    const url = [path!.replaceAll(";", "%3B"), ...query].join("?")
    return Effect.provideService(routes, HttpServerRequest.HttpServerRequest, request.modify({ url }))
  })

const nodeServer = () => {
  const server = createServer({
    IncomingMessage: Received,
    requireHostHeader: false,
    requestTimeout: 30_000,
    headersTimeout: 15_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 16 * 1024,
  })
  // What else a client expects is left unmet (RFC 9110 §10.1.1 allows it); Node would refuse without a problem.
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

/** A problem where there is no response object to write it to. */
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

const endConnections = (server: Server, sockets: ReadonlySet<Socket>) => {
  const closeIdle = server.closeIdleConnections.bind(server)
  // Node calls it when the server closes, and would reset whoever is sending at that moment.
  server.closeIdleConnections = () => {}
  const began = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - began < lullMillis) return
    closeIdle()
    // Node takes those that never sent anything, as browsers keep in reserve, for busy.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }, 100)
  server.once("close", () => clearInterval(timer))
}
