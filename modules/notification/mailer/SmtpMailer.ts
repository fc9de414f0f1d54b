import { Effect, Layer, Redacted, Schema } from "effect"
import type { SMTPPoolOptions } from "nodemailer"
import { Email } from "../../Text.ts"
import { MailDelayed, Mailer, MailRefused } from "../Mailer.ts"
import { oneLine } from "../Notification.ts"

const expected = "expected a URL such as smtp://user:password@mail.example.org:587, or smtps:// for TLS from the start"

/** Describes what is wrong with the URL of a mail server, without quoting it; undefined when it is valid. */
export const faultInUrl = (text: string): string | undefined => {
  const url = URL.parse(text)
  if (url === null || !/^smtps?:$/u.test(url.protocol) || url.hostname === "" || url.port === "0") return expected
  if (!/^\/?$/u.test(url.pathname) || url.search !== "" || url.hash !== "") {
    return `a path, query or fragment cannot be used; ${expected}`
  }
  if (url.username === "" && url.password !== "") return `it names no user; ${expected}`
  try {
    for (const part of [url.username, url.password]) decodeURIComponent(part)
  } catch {
    return "the URL has a % that begins no %-encoding; write it as %25"
  }
  return undefined
}

/** Maximum number of connections of one process to the mail server. */
const mostConnections = 8

/** nodemailer's options for a valid URL: every time-out is shorter than the task's deadline. */
const optionsOf = (text: string): SMTPPoolOptions & { pool: true; host: string } => {
  const { protocol, hostname, port, username, password } = new URL(text)
  return {
    pool: true,
    maxConnections: mostConnections,
    // A message whose connection closes is not repeated here: the task repeats it.
    maxRequeues: 0,
    host: hostname.replace(/^\[(.*)\]$/u, "$1"),
    ...(port === "" ? {} : { port: Number(port) }),
    secure: protocol === "smtps:",
    ...(username === "" ? {} : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    dnsTimeout: 5_000,
    connectionTimeout: 5_000,
    greetingTimeout: 5_000,
    socketTimeout: 10_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

/** The error of nodemailer: its own code, the server's reply, and the system's error code. */
interface Failure {
  readonly code?: string
  readonly responseCode?: number
  readonly originalCode?: string
  readonly message: string
}

/** Replies about credentials or the connection, not about the message. */
const aboutTheSession = new Set([421, 503, 530, 534, 535, 538])

/** The server rejected this message, or the message is invalid. */
const isAboutTheMessage = ({ code, responseCode }: Failure) =>
  (code === "EENVELOPE" || code === "EMESSAGE") && !aboutTheSession.has(responseCode ?? 0)

const isTemporary = ({ responseCode = 0 }: Failure) => responseCode >= 400 && responseCode < 500

/** A server's reply without e-mail addresses, which replies often repeat. */
const reasonOf = ({ message, originalCode }: Failure) =>
  [
    oneLine(message).replace(/[^\s<>"']+@[^\s<>"':;,]+/gu, "…@…"),
    ...(originalCode === undefined ? [] : [originalCode]),
  ].join(" ")

/**
 * Sends letters to the mail server at `url` by SMTP. A 5xx reply about the letter means refused; 4xx, a failed login and
 * connection errors mean delayed.
 */
export const layer = (options: {
  readonly url: Redacted.Redacted
  readonly from: { readonly name: string; readonly address: string }
}) =>
  Layer.effect(
    Mailer,
    Effect.gen(function* () {
      // Imported on demand, so that a start without a mail server does not load it.
      const { createTransport } = yield* Effect.promise(() => import("nodemailer"))
      const { dnsCache } = yield* Effect.promise(() => import("nodemailer/lib/shared"))
      const reach = optionsOf(Redacted.value(options.url))
      const transport = yield* Effect.acquireRelease(
        Effect.sync(() => createTransport(reach)),
        (transport) => Effect.sync(() => transport.close()),
      )
      let fault: string | undefined

      const failed = (failure: Failure) => {
        const reason = reasonOf(failure)
        if (!isAboutTheMessage(failure)) {
          // nodemailer caches addresses for five minutes; a replaced server has a new one.
          dnsCache.delete(reach.host)
          fault = `the mail server takes no mail: ${reason}`
          return new MailDelayed({ reason })
        }
        fault = undefined
        return isTemporary(failure) ? new MailDelayed({ reason }) : new MailRefused({ reason })
      }

      return Mailer.of({
        channel: "email",
        send: (letter) =>
          Effect.gen(function* () {
            if (!Schema.is(Email)(letter.to.address)) return yield* new MailRefused({ reason: "not an e-mail address" })
            yield* Effect.tryPromise({
              try: (signal) =>
                transport.sendMail({
                  messageId: letter.message_id,
                  from: options.from,
                  to: letter.to,
                  subject: letter.subject,
                  text: letter.text,
                  html: letter.html,
                  // Suppresses automatic replies (RFC 3834).
                  headers: { "Auto-Submitted": "auto-generated" },
                  signal,
                }),
              catch: (error) => failed(error as Failure),
            })
            fault = undefined
          }),
        fault: Effect.sync(() => fault),
      })
    }),
  )
