import { Effect, Layer, Redacted, Schema } from "effect"
import type { SMTPPoolOptions } from "nodemailer"
import { Email } from "../../Text.ts"
import { MailDelayed, Mailer, MailRefused } from "../Mailer.ts"
import { oneLine } from "../Notification.ts"

const expected = "expected a URL such as smtp://user:password@mail.example.org:587, or smtps:// for TLS from the start"

/** What is wrong with the URL of a mail server, undefined when nothing is. Never says what stands in it. */
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

/** Connections to the mail server at once, in one process. */
const mostConnections = 8

/** How nodemailer reaches the server of a URL without fault: every wait is bounded below the task's deadline. */
const optionsOf = (text: string): SMTPPoolOptions & { pool: true; host: string } => {
  const { protocol, hostname, port, username, password } = new URL(text)
  return {
    pool: true,
    maxConnections: mostConnections,
    // A message whose connection closes is not repeated here: the task does that.
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

/** What nodemailer says of a failure: its own code, the server's reply, and the code of the system. */
interface Failure {
  readonly code?: string
  readonly responseCode?: number
  readonly originalCode?: string
  readonly message: string
}

/** Replies that ask for other credentials, or for another connection: they say nothing about the message. */
const aboutTheSession = new Set([421, 503, 530, 534, 535, 538])

/** The server answered about this message, or the message cannot be sent as it is. */
const isAboutTheMessage = ({ code, responseCode }: Failure) =>
  (code === "EENVELOPE" || code === "EMESSAGE") && !aboutTheSession.has(responseCode ?? 0)

const isTemporary = ({ responseCode = 0 }: Failure) => responseCode >= 400 && responseCode < 500

/** The words of a server without the address of anyone, which replies often repeat. */
const reasonOf = ({ message, originalCode }: Failure) =>
  [
    oneLine(message).replace(/[^\s<>"']+@[^\s<>"':;,]+/gu, "…@…"),
    ...(originalCode === undefined ? [] : [originalCode]),
  ].join(" ")

/**
 * Sends letters to the mail server at `url` by SMTP. A reply of 5xx about the letter refuses it; 4xx, a failed login and
 * failures of the connection delay it.
 */
export const layer = (options: {
  readonly url: Redacted.Redacted
  readonly from: { readonly name: string; readonly address: string }
}) =>
  Layer.effect(
    Mailer,
    Effect.gen(function* () {
      // Loaded here, so that a start without a mail server does not wait for it.
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
          // nodemailer keeps addresses for five minutes; a server that was replaced has another one.
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
                  // No automatic replies, please (RFC 3834).
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
