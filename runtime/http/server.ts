import { NodeHttpServer } from "@effect/platform-node"
import { ByteSize, Context, Effect, Layer, Schema } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServer } from "effect/http"
import { createServer, type Server } from "node:http"
import type { Duplex } from "node:stream"
import { type Kind, Kinds, problemOf } from "./Problem.ts"

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
    return `cannot listen on ${this.host}:${this.port}: ${why}`
  }
}

/** The largest body, in bytes (CONTRACT §2). */
const mostBody = ByteSize.fromInputUnsafe("1 MiB")

/** How long requests that are under way may take once the process stops; its end comes within 10 s. */
const graceMillis = 7_000

/**
 * Serves the router's routes, which must all be there by now: the port opens as the last thing of a start, so no
 * request ever meets a server that cannot answer it. Says where it listens.
 *
 * When its scope closes, the port closes at once, requests under way are answered, and connections end with them.
 */
export const serve = (options: { readonly host: string; readonly port: number }) =>
  Effect.gen(function* () {
    const router = yield* HttpRouter.HttpRouter
    const node = nodeServer()
    yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
    const server = yield* Layer.build(
      NodeHttpServer.layerServer(() => node, { ...options, gracefulShutdownTimeout: graceMillis }),
    ).pipe(
      Effect.mapError(({ cause }) => new AddressUnusable({ ...options, cause })),
      Effect.map((context) => Context.get(context, HttpServer.HttpServer)),
    )
    yield* server.serve(router.asHttpEffect()).pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, mostBody))
    // From here on, answers tell their clients to go, so that connections end while the server closes.
    yield* Effect.addFinalizer(() => Effect.sync(() => endConnections(node)))
    const address = node.address()
    return typeof address === "object" && address !== null ? address.port : options.port
  })

const nodeServer = () => {
  const server = createServer({
    requestTimeout: 30_000,
    headersTimeout: 15_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 16 * 1024,
  })
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

const endConnections = (server: Server) => {
  server.prependListener("request", (_request, response) => response.setHeader("connection", "close"))
  const timer = setInterval(() => server.closeIdleConnections(), 100)
  server.once("close", () => clearInterval(timer))
}
