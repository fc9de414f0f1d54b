import { Config, Effect, Layer, Option, Redacted, Schema } from "effect"
import * as LogMailer from "./mailer/LogMailer.ts"
import { orDown } from "./mailer/orDown.ts"
import * as SmtpMailer from "./mailer/SmtpMailer.ts"

/** An address with an optional name before it, as in `Galleria <no-reply@example.org>`; the domain may be one label. */
const mailbox = /^(?:(?<name>[^<>"\p{Cc}]*)<(?<inner>[^<>]+)>|(?<bare>[^<>]+))$/u
const addressOf = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[a-z\d-]+(?:\.[a-z\d-]+)*$/iu

const parse = (text: string) => {
  const { name = "", inner, bare } = mailbox.exec(text.trim())?.groups ?? {}
  const address = (inner ?? bare ?? "").trim()
  return addressOf.test(address) ? { name: name.trim(), address } : undefined
}

const faultInMailbox = (text: string) =>
  parse(text) === undefined
    ? "expected an address such as no-reply@example.org or Galleria <no-reply@example.org>"
    : undefined

export const settings = {
  /** The URL of the mail server; unset: no mail is sent. */
  SMTP_URL: Config.option(
    Config.map(Config.schema(Schema.String.check(Schema.makeFilter(SmtpMailer.faultInUrl)), "SMTP_URL"), Redacted.make),
  ),
  /** The sender of mails. */
  MAIL_FROM: Config.schema(Schema.String.check(Schema.makeFilter(faultInMailbox)), "MAIL_FROM").pipe(
    Config.withDefault("Galleria <no-reply@localhost>"),
  ),
  /** The currency of all amounts, as shown in messages. */
  CURRENCY: Config.schema(
    Schema.String.check(Schema.isPattern(/^[A-Z]{3}$/u, { message: "expected a code of three letters, such as USD" })),
    "CURRENCY",
  ).pipe(Config.withDefault("USD")),
}

/** The mailer according to the settings. */
export const mailer = Layer.unwrap(
  Effect.gen(function* () {
    const url = yield* settings.SMTP_URL
    if (Option.isNone(url)) return LogMailer.layer
    return SmtpMailer.layer({ url: url.value, from: parse(yield* settings.MAIL_FROM)! })
  }).pipe(Effect.orDie),
).pipe(orDown)
