import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** What a module's start is compared with: a server of `node:http` alone. Sends its port. */
const server = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1", () => {
  process.send!((server.address() as AddressInfo).port)
})
process.on("disconnect", () => process.exit(0))
