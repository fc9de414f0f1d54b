import { once } from "node:events"
import { connect, createServer, type Server, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { freePort } from "./freePort.ts"

/** What is wrong with the network. What isn't given is in order. */
export interface Faults {
  /** Bytes arrive so much later, each way. */
  readonly latencyMillis?: number
  /** So many bytes pass in a second: of each connection, each way. */
  readonly bytesPerSecond?: number
  /** There is no new connection; those that are open go on. */
  readonly refuse?: boolean
  /**
   * Connections open and stay open, and nothing gets through them either way, not even their end. What is sent
   * meanwhile is lost, so connections that lost something are cut when it is over.
   */
  readonly blackHole?: boolean
  /** As a black hole, but what is sent meanwhile arrives when it is over: a network that hangs and recovers. */
  readonly hang?: boolean
}

/** A TCP proxy on 127.0.0.1 with a network behind it that can be broken. Closed when it goes out of scope. */
export interface Proxy extends AsyncDisposable {
  readonly port: number
  /** From now on there are exactly these faults: `{}` heals all. */
  readonly set: (faults: Faults) => Promise<void>
  /** Ends all connections, by a reset on both sides. */
  readonly cut: () => void
  /**
   * The next `times` that a client sends something (that `matters`, of the chunks that arrive), it gets through, and
   * when the answer comes it is dropped and the connection is cut.
   */
  readonly loseAnswers: (times: number, matters?: (sent: Buffer) => boolean) => void
  /** Since the start, but for `open`, which is now. */
  readonly counts: () => Counts
  readonly close: () => Promise<void>
}

export interface Counts {
  readonly open: number
  readonly accepted: number
  readonly answersLost: number
  readonly bytesSent: number
  readonly bytesAnswered: number
}

/** So much may be under way in one direction before the sender has to wait. */
const windowBytes = 1_048_576

export const startProxy = async (options: { readonly to: number }): Promise<Proxy> => {
  const port = await freePort()
  const connections = new Set<Connection>()
  const counts = { accepted: 0, answersLost: 0, bytesSent: 0, bytesAnswered: 0 }
  let faults: Faults = {}
  let toLose = 0
  let mattersNow: (sent: Buffer) => boolean = () => true
  let healed = Promise.withResolvers<void>()
  let server: Server | undefined

  const accept = (client: Socket) => {
    const upstream = connect({ port: options.to, host: "127.0.0.1", allowHalfOpen: true, noDelay: true })
    const connection: Connection = { client, upstream, holed: false, losesAnswer: false }
    connections.add(connection)
    counts.accepted += 1
    pump(connection, client, upstream, (chunk) => {
      counts.bytesSent += chunk.length
      if (toLose > 0 && !connection.losesAnswer && mattersNow(chunk)) {
        toLose -= 1
        connection.losesAnswer = true
      }
      return true
    })
    pump(connection, upstream, client, (chunk) => {
      if (connection.losesAnswer) {
        counts.answersLost += 1
        end(connection)
        return false
      }
      counts.bytesAnswered += chunk.length
      return true
    })
  }

  /** Carries what `from` says to `to`, chunk by chunk, each when its time has come and if `passes` says so. */
  const pump = (connection: Connection, from: Socket, to: Socket, passes: (chunk: Buffer) => boolean) => {
    let queue = Promise.resolve()
    let waiting = 0
    let lineIsFreeAt = 0
    const later = (bytes: number, action: () => void) => {
      const { latencyMillis = 0, bytesPerSecond = Infinity } = faults
      lineIsFreeAt = Math.max(Date.now(), lineIsFreeAt) + (bytes / bytesPerSecond) * 1_000
      const due = lineIsFreeAt + latencyMillis
      waiting += bytes
      if (waiting > windowBytes) from.pause()
      queue = queue.then(async () => {
        const early = due - Date.now()
        if (early > 0) await sleep(early)
        while (faults.hang) await healed.promise
        waiting -= bytes
        if (waiting <= windowBytes) from.resume()
        if (faults.blackHole) connection.holed = true
        else if (connections.has(connection)) action()
        if (to.writableNeedDrain) await drained(to)
      })
    }
    from.on("data", (chunk) => later(chunk.length, () => passes(chunk) && to.write(chunk)))
    from.on("end", () => later(0, () => to.end()))
    // A reset passes at once, and is what a socket that was destroyed here gives too.
    from.on("error", () => later(0, () => end(connection)))
    from.on("close", () => {
      if (connection.client.destroyed && connection.upstream.destroyed) connections.delete(connection)
    })
  }

  const end = (connection: Connection) => {
    connections.delete(connection)
    connection.client.resetAndDestroy()
    connection.upstream.resetAndDestroy()
  }
  const cut = () => connections.forEach(end)

  const listen = async () => {
    server = createServer({ allowHalfOpen: true, noDelay: true }, accept).listen(port, "127.0.0.1")
    await once(server, "listening")
  }
  const refuse = () => {
    // Not awaited: that would be for the end of all connections.
    server?.close()
    server = undefined
  }

  const set = async (next: Faults) => {
    const before = faults
    faults = next
    if (before.hang && !next.hang) {
      healed.resolve()
      healed = Promise.withResolvers()
    }
    if (before.blackHole && !next.blackHole) [...connections].filter(({ holed }) => holed).forEach(end)
    if (next.refuse) refuse()
    else if (server === undefined) await listen()
  }

  const close = async () => {
    await set({ refuse: true })
    cut()
  }

  await listen()
  return {
    port,
    set,
    cut,
    loseAnswers: (times, matters = () => true) => {
      toLose = times
      mattersNow = matters
    },
    counts: () => ({ open: connections.size, ...counts }),
    close,
    [Symbol.asyncDispose]: close,
  }
}

const drained = (socket: Socket) =>
  new Promise<void>((resolve) => {
    const done = () => {
      socket.off("drain", done).off("close", done)
      resolve()
    }
    socket.on("drain", done).on("close", done)
  })

interface Connection {
  readonly client: Socket
  readonly upstream: Socket
  /** Something was lost in a black hole. */
  holed: boolean
  losesAnswer: boolean
}
