import { once } from "node:events"
import { connect, createServer, type AddressInfo, type Socket } from "node:net"
import { buffer } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { until } from "./process.ts"
import { startProxy } from "./proxy.ts"

/** A server that keeps what it gets, and answers it with the same; what it gets at the end with "bye". */
const startEcho = async () => {
  const sockets: Array<Socket> = []
  let received = ""
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on("data", (chunk) => (received += chunk)).pipe(socket, { end: false })
    socket.on("end", () => socket.end("bye")).on("error", () => {})
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    port: (server.address() as AddressInfo).port,
    received: () => received,
    /** Connections whose end it has seen, whichever. */
    ended: () => sockets.filter(({ destroyed }) => destroyed).length,
    [Symbol.asyncDispose]: async () => {
      server.close()
      sockets.forEach((socket) => socket.destroy())
      await once(server, "close")
    },
  }
}

/** A client of `port`, which records everything it receives and how it ended. */
const dial = async (port: number) => {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
  let received = ""
  let ending: string | undefined
  socket.on("data", (chunk) => (received += chunk))
  socket.on("end", () => (ending ??= "end")).on("error", (error: NodeJS.ErrnoException) => (ending ??= error.code!))
  await once(socket, "connect")
  return {
    socket,
    say: (words: string) => void socket.write(words),
    received: () => received,
    receives: (words: string) => until(`the client receives ${words}`, () => received === words),
    /** How the other side ended it. */
    ending: async () => {
      await until("the connection is over", () => ending !== undefined)
      return ending
    },
    open: () => ending === undefined,
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

const refused = (port: number) => expect(dial(port)).rejects.toMatchObject({ code: "ECONNREFUSED" })

/** Long for a loopback, where bytes take less than a millisecond: what hasn't come by then was held back. */
const aWhile = () => sleep(300)

describe("startProxy", () => {
  it("carries what either side says to the other, and the end of each by itself", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    client.say("hello")
    await client.receives("hello")
    client.socket.end(" and")
    await client.receives("hello andbye")
    expect(await client.ending()).toBe("end")
    await until("nothing is open", () => proxy.counts().open === 0)
    expect(proxy.counts()).toEqual({ open: 0, accepted: 1, answersLost: 0, bytesSent: 9, bytesAnswered: 12 })
  })

  it("makes a sender wait while the reader does, and carries all in order", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    const sent = Buffer.alloc(64 * 1_048_576, "0123456789abc")
    client.socket.removeAllListeners("data").pause()
    client.socket.end(sent)
    let before = -1
    await until("nothing moves", async () => {
      const moved = proxy.counts().bytesSent - before
      before += moved
      await aWhile()
      return moved === 0
    })
    expect(client.socket.writableLength).toBeGreaterThan(0)
    const received = await buffer(client.socket)
    expect(received.equals(Buffer.concat([sent, Buffer.from("bye")]))).toBe(true)
  })

  it("keeps bytes back for the latency, each way, and in order when it falls", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    const begun = performance.now()
    await proxy.set({ latencyMillis: 150 })
    client.say("slow ")
    await until("it is on its way back", () => echo.received() === "slow ")
    expect(performance.now() - begun).toBeGreaterThan(145)
    await client.receives("slow ")
    expect(performance.now() - begun).toBeGreaterThan(295)

    client.say("first ")
    await sleep(20)
    await proxy.set({})
    client.say("second")
    await client.receives("slow first second")
  })

  it("lets no more through in a second than the bandwidth", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    await proxy.set({ bytesPerSecond: 100_000 })
    const begun = performance.now()
    client.say("x".repeat(50_000))
    await until("all is there", () => echo.received().length === 50_000)
    expect(performance.now() - begun).toBeGreaterThan(495)
  })

  it("cuts the connections that are open, on both sides, and takes new ones", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using one = await dial(proxy.port)
    using other = await dial(proxy.port)
    one.say("one")
    await one.receives("one")
    other.say("other")
    await other.receives("other")

    proxy.cut()
    expect(await Promise.all([one.ending(), other.ending()])).toEqual(["ECONNRESET", "ECONNRESET"])
    await until("the server has lost both", () => echo.ended() === 2)
    expect(proxy.counts()).toMatchObject({ open: 0, accepted: 2 })
    using next = await dial(proxy.port)
    next.say("next")
    await next.receives("next")
  })

  it("refuses new connections while those that are open go on", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    await proxy.set({ refuse: true })
    await refused(proxy.port)
    client.say("still here")
    await client.receives("still here")
    await proxy.set({})
    using next = await dial(proxy.port)
    next.say("next")
    await next.receives("next")
  })

  it("swallows in a black hole what either side says, new connections too, and cuts them when it is over", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using quiet = await dial(proxy.port)
    using old = await dial(proxy.port)
    old.say("before")
    await old.receives("before")

    await proxy.set({ blackHole: true })
    using young = await dial(proxy.port)
    old.say("lost")
    young.say("lost")
    await aWhile()
    expect([old.received(), young.received(), echo.received()]).toEqual(["before", "", "before"])
    expect([old.open(), young.open()]).toEqual([true, true])

    await proxy.set({})
    expect(await Promise.all([old.ending(), young.ending()])).toEqual(["ECONNRESET", "ECONNRESET"])
    quiet.say("nothing of mine was lost")
    await quiet.receives("nothing of mine was lost")
  })

  it("keeps in a black hole even the end of a client from the server", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    client.say("before")
    await client.receives("before")
    await proxy.set({ blackHole: true })
    client.socket.resetAndDestroy()
    await aWhile()
    expect(echo.ended()).toBe(0)
    await proxy.set({})
    await until("the server has lost it", () => echo.ended() === 1)
  })

  it("hangs, and delivers all when it recovers", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    await proxy.set({ hang: true })
    client.say("late")
    await aWhile()
    expect(echo.received()).toBe("")
    await proxy.set({})
    await client.receives("late")
    expect(client.open()).toBe(true)
  })

  it("loses so many answers: what was sent gets through, and then the connection is cut", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    proxy.loseAnswers(2)
    for (const words of ["one ", "two "]) {
      using client = await dial(proxy.port)
      client.say(words)
      expect(await client.ending()).toBe("ECONNRESET")
      expect(client.received()).toBe("")
    }
    using client = await dial(proxy.port)
    client.say("three")
    await client.receives("three")
    expect(echo.received()).toBe("one two three")
    expect(proxy.counts().answersLost).toBe(2)
  })

  it("loses only the answers to what matters", async () => {
    await using echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    proxy.loseAnswers(1, (sent) => sent.includes("COMMIT"))
    client.say("BEGIN")
    await client.receives("BEGIN")
    client.say("COMMIT")
    expect(await client.ending()).toBe("ECONNRESET")
    expect([client.received(), echo.received()]).toEqual(["BEGIN", "BEGINCOMMIT"])
  })

  it("resets new connections while no server listens behind it", async () => {
    const echo = await startEcho()
    await using proxy = await startProxy({ to: echo.port })
    await echo[Symbol.asyncDispose]()
    using client = await dial(proxy.port)
    expect(await client.ending()).toBe("ECONNRESET")
    await until("nothing is open", () => proxy.counts().open === 0)
  })

  it("is gone when it is closed, with its connections", async () => {
    await using echo = await startEcho()
    const proxy = await startProxy({ to: echo.port })
    using client = await dial(proxy.port)
    client.say("hello")
    await client.receives("hello")
    await proxy.close()
    expect(await client.ending()).toBe("ECONNRESET")
    await until("the server has lost it", () => echo.ended() === 1)
    await refused(proxy.port)
  })
})
