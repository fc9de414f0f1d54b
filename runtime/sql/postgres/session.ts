import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { addressOf } from "./address.ts"

/** One connection to the server, whose settings last as long as it does. */
export interface Session {
  readonly connection: PgConnection.PgConnection
  /**
   * A statement of it was cancelled. The cancellation may reach the server late, and end a later statement instead, so
   * the session is not given to another fiber.
   */
  wasCancelled: boolean
  /** Cut, by either side: whatever is asked of it fails. */
  readonly isCut: () => boolean
  /** Cuts it; what is under way fails at once, whether or not the server ever answers. */
  readonly cut: () => void
  readonly onCut: (listener: () => void) => void
  /** What is asked of it just now. */
  asked: number
  /** What it has answered so far, or failed to. */
  answered: number
}

export interface SessionOptions {
  readonly url: Redacted.Redacted
  /** What its unqualified names are of; it need not exist yet. */
  readonly schema: string
  /** PostgreSQL's settings by name, over those that every session has. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * In an order that matters: a statement ends before the transaction that waits for it is taken for idle, and
 * that before another instance takes over. Nobody waits for a lock for as long as a request waits for its answer.
 */
const settings = {
  client_encoding: "UTF8",
  // How values are written, whatever the database or the user has set.
  datestyle: "ISO, MDY",
  intervalstyle: "postgres",
  timezone: "UTC",
  bytea_output: "hex",
  standard_conforming_strings: "on",
  transform_null_equals: "off",
  default_transaction_isolation: "read committed",
  synchronous_commit: "on",
  jit: "off",
  lock_timeout: "1000",
  statement_timeout: "4000",
  idle_in_transaction_session_timeout: "5000",
  // A process that is frozen while an answer is on its way holds what it locked until the system gives up on it.
  tcp_user_timeout: "10000",
}

/** How long a statement that nobody waits for any more has to end after it was cancelled. */
const cancelMillis = 1_000

/** Opens a session; it is closed with the scope. */
export const openSession = ({ url, schema, settings: own = {} }: SessionOptions) =>
  Effect.gen(function* () {
    const text = Redacted.value(url)
    const { host, port } = addressOf(text)
    const dial = () =>
      host.startsWith("/")
        ? connect({ path: `${host}/.s.PGSQL.${port}` })
        : connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 })
    let socket: Socket | undefined
    let session: Session | undefined
    /** The connection that carries a cancellation; a server that does not heed it is not waited for. */
    const dialToCancel = () => {
      const cancellation = dial()
      const answered = session?.answered
      if (session !== undefined) session.wasCancelled = true
      setTimeout(() => {
        cancellation.destroy()
        if (session?.answered === answered) session?.cut()
      }, cancelMillis).unref()
      return cancellation
    }
    const ssl = tlsOf(text)
    const connection = yield* PgConnection.make({
      url,
      stream: () => (socket === undefined ? (socket = dial()) : dialToCancel()),
      ...(ssl === undefined ? {} : { ssl }),
      applicationName: `galleria ${schema}`,
      connectTimeout: "3 seconds",
      startupParameters: { ...settings, search_path: `"${schema.replaceAll('"', '""')}"`, ...own },
    })
    const opened = socket!
    return (session = {
      connection,
      wasCancelled: false,
      isCut: () => opened.destroyed,
      cut: () => opened.destroy(),
      asked: 0,
      answered: 0,
      onCut: (listener) => void (opened.closed ? listener() : opened.once("close", listener)),
    } as Session)
  })

/**
 * libpq's `sslmode`, `require` being without any proof of who answers. Undefined leaves it to the client: no TLS, or
 * what there is for `prefer`.
 */
const tlsOf = (text: string): false | ConnectionOptions | undefined => {
  const { searchParams } = new URL(text)
  const file = searchParams.get("sslrootcert")
  const authorities = file === null ? {} : { ca: readFileSync(file) }
  switch (searchParams.get("sslmode")) {
    case "require":
      return file === null ? { rejectUnauthorized: false } : { ...authorities, checkServerIdentity: () => undefined }
    case "verify-ca":
      return { ...authorities, checkServerIdentity: () => undefined }
    case "verify-full":
      return authorities
    default:
      return undefined
  }
}
