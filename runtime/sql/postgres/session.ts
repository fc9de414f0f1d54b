import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { addressOf } from "./address.ts"

/** One connection to the server, with its settings. */
export interface Session {
  readonly connection: PgConnection.PgConnection
  /**
   * A statement was cancelled. The cancellation may arrive late and end a later statement instead, so the session is not
   * reused by another fiber.
   */
  wasCancelled: boolean
  /** The connection is closed, by either side: every statement fails. */
  readonly isCut: () => boolean
  /** Closes the connection. Statements in progress fail at once. */
  readonly cut: () => void
  readonly onCut: (listener: () => void) => void
  /** The number of statements in progress. */
  pending: number
  /** The number of statements that have ended. */
  answered: number
}

export interface SessionOptions {
  readonly url: Redacted.Redacted
  /** The `search_path`; the schema need not exist yet. */
  readonly schema: string
  /** PostgreSQL's settings by name, in addition to those of every session. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * The time-outs are ordered: a statement ends before its transaction counts as idle, and that before another instance takes
 * over. Waiting for a lock takes less than a request may take.
 */
const settings = {
  client_encoding: "UTF8",
  // Formats of values, which the database or the user may have set otherwise.
  datestyle: "ISO, MDY",
  intervalstyle: "postgres",
  timezone: "UTC",
  bytea_output: "hex",
  standard_conforming_strings: "on",
  transform_null_equals: "off",
  default_transaction_isolation: "read committed",
  synchronous_commit: "on",
  jit: "off",
  // A prepared statement keeps its plan, often from when its tables were small. As in the embedded database.
  random_page_cost: "1.1",
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  lock_timeout: "1000",
  statement_timeout: "4000",
  idle_in_transaction_session_timeout: "5000",
  // A process that is frozen while an answer is in flight keeps its locks until this time-out.
  tcp_user_timeout: "10000",
}

/** How long a cancelled statement may take to end before its session is cut. */
const cancelMillis = 1_000

/** Opens a session, which is closed with the scope. */
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
    /** A connection for a cancellation. When the statement does not end in time, the session is cut. */
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
      pending: 0,
      answered: 0,
      onCut: (listener) => void (opened.closed ? listener() : opened.once("close", listener)),
    } as Session)
  })

/**
 * TLS by libpq's `sslmode`; `require` does not verify the server. Undefined leaves it to the client: no TLS, or TLS if the
 * server has it, for `prefer`.
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
