import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** The server behind `moduleAtRest`, as the argument says: of Effect, or of `node:http` alone. Sends its port. */
const server = createServer((_, response) => response.end("hello"))

if (process.argv[2] === "effect") {
  server.removeAllListeners("request")
  const hello = HttpRouter.add("GET", "/", Effect.succeed(HttpServerResponse.text("hello")))
  const serving = HttpRouter.serve(hello).pipe(
    Layer.provide(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0 })),
  )
  Effect.runFork(Layer.launch(serving))
} else {
  server.listen(0, "127.0.0.1")
}
server.on("listening", () => process.send!((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit(0))
