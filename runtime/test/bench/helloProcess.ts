import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Logger } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** What a module is compared with at rest: a server of Effect that says hello. Sends its port. */
const server = createServer()
const hello = HttpRouter.add("GET", "/", Effect.succeed(HttpServerResponse.text("hello")))
const serving = HttpRouter.serve(hello).pipe(
  Layer.provide(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0 })),
  Layer.provide(Logger.layer([])),
)
server.on("listening", () => process.send!((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit(0))
Effect.runFork(Layer.launch(serving))
