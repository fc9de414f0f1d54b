import { once } from "node:events"
import { createServer } from "node:net"

const given = new Set<number>()

const first = 20_000
const all = 12_000

/** The ports of a process: few others have the same, so that two hardly find a port free before one of them listens. */
const own = 240
const firstOwn = first + (process.pid % (all / own)) * own

const anyPort = () =>
  given.size < own / 2 ? firstOwn + Math.floor(Math.random() * own) : first + Math.floor(Math.random() * all)

/**
 * A free port of 127.0.0.1 that no other program gets by chance later: it is below those which the system hands
 * out to outgoing connections. A server can give it back and take it again, and a client that keeps trying meanwhile
 * isn't connected to itself.
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = anyPort()
    if (given.has(port)) continue
    const probe = createServer().listen(port, "127.0.0.1")
    try {
      await once(probe, "listening")
    } catch {
      continue
    }
    probe.close()
    await once(probe, "close")
    given.add(port)
    return port
  }
}
