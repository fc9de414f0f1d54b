import { once } from "node:events"
import { createServer, type Server, type Socket } from "node:net"
import { SMTPServer } from "smtp-server"

/** A message as the server met it, whether it took it or not. */
export interface Arrived {
  readonly to: string
  readonly raw: string
  readonly outcome: Outcome
}

/** What the server does with a message: a reply other than 250, or it closes the connection before it replies. */
export type Outcome = "taken" | "dropped" | { readonly code: number; readonly at: "RCPT" | "DATA" }

/**
 * A mail server in the process, by whose rules a test sees how mails are sent: each recipient may have outcomes that
 * come one after the other; after them mails are taken. It can stop and start again on its port.
 */
export const mailServer = async () => {
  const arrived: Array<Arrived> = []
  const planned = new Map<string, Array<Outcome>>()
  const next = (to: string, at: "RCPT" | "DATA"): Outcome => {
    const [outcome = "taken"] = planned.get(to) ?? []
    if (at === "RCPT" && (typeof outcome === "string" || outcome.at === "DATA")) return "taken"
    planned.get(to)?.shift()
    return outcome
  }
  const refusal = ({ code }: { readonly code: number }, to: string) =>
    Object.assign(new Error(`${to} is not served`), { responseCode: code })

  const make = () =>
    new SMTPServer({
      disabledCommands: ["AUTH", "STARTTLS"],
      logger: false,
      onRcptTo: ({ address }, _session, done) => {
        const outcome = next(address, "RCPT")
        if (typeof outcome === "string") return done()
        arrived.push({ to: address, raw: "", outcome })
        done(refusal(outcome, address))
      },
      onData: (stream, session, done) => {
        const chunks: Array<Buffer> = []
        stream.on("data", (chunk: Buffer) => chunks.push(chunk))
        stream.on("end", () => {
          const to = session.envelope.rcptTo[0]!.address
          const outcome = next(to, "DATA")
          arrived.push({ to, raw: Buffer.concat(chunks).toString(), outcome })
          if (outcome === "taken") return done()
          if (outcome !== "dropped") return done(refusal(outcome, to))
          for (const connection of server.connections) if (connection.id === session.id) connection._socket.destroy()
        })
      },
    }) as SMTPServer & { readonly connections: Set<{ readonly id: string; readonly _socket: Socket }> }

  let server = make()
  const listen = async (port: number) => {
    const listening = server.listen(port, "127.0.0.1")
    await once(listening, "listening")
    return (listening.address() as { readonly port: number }).port
  }
  const port = await listen(0)

  return {
    url: `smtp://127.0.0.1:${port}`,
    port,
    /** What becomes of the next mails to an address. */
    plan: (to: string, ...outcomes: ReadonlyArray<Outcome>) => void planned.set(to, [...outcomes]),
    /** What arrived for an address so far. */
    to: (address: string) => arrived.filter(({ to }) => to === address),
    stop: async () => {
      for (const { _socket } of server.connections) _socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
    start: async () => {
      server = make()
      await listen(port)
    },
  }
}

/** A server that takes connections and never says a word. */
export const silentServer = async () => {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => void sockets.add(socket.on("error", () => {})))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `smtp://127.0.0.1:${(server.address() as { readonly port: number }).port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** The headers of a message, each on a line of its own, as they are sent. */
export const headersOf = ({ raw }: Arrived): ReadonlyArray<string> =>
  raw
    .split("\r\n\r\n")[0]!
    .replace(/\r\n[ \t]+/gu, " ")
    .split("\r\n")

/** A header of a message by its name. */
export const headerOf = (mail: Arrived, name: string): string | undefined =>
  headersOf(mail)
    .find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}: `))
    ?.slice(name.length + 2)
