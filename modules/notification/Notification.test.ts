import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, BigDecimal, Config, ConfigProvider, Effect, Exit, Option, Redacted, Schema } from "effect"
import { Kind } from "./contract/events.ts"
import { faultInUrl } from "./mailer/SmtpMailer.ts"
import { htmlOf, isFresh, messageIdOf, type Occasion, oneLine, outcomeOf, write } from "./Notification.ts"
import { settings } from "./settings.ts"

const amount = BigDecimal.fromStringUnsafe("100.5")

const about = (kind: Kind, reason?: string): Occasion =>
  kind === "welcome"
    ? { kind, user_id: 3, name: "Ada Lovelace" }
    : { kind, user_id: 3, order_id: 7, amount, ...(reason === undefined ? {} : { reason }) }

const written = (kind: Kind, reason?: string) => write(about(kind, reason), "USD")

const hour = 60 * 60 * 1_000

describe("a message", () => {
  it.each(Kind.literals)("about %s has a subject and a text of its own", (kind) => {
    const { subject, body } = written(kind)
    expect(subject).toMatch(/^[A-Z][\w ]+$/u)
    expect(body).toMatch(/[.]$/u)
    const others = Kind.literals.filter((other) => other !== kind).map((other) => written(other))
    expect(others.flatMap((other) => [other.subject, other.body])).not.toContain(subject)
    if (kind === "welcome") expect(body).toContain("Ada Lovelace")
    else expect([subject, body]).toEqual([expect.stringContaining("7"), expect.stringContaining("7")])
  })

  it.each(Kind.literals.filter((kind) => kind !== "welcome"))("about %s names the amount with its currency", (kind) => {
    expect(write(about(kind), "EUR").body).toContain("100.50 EUR")
  })

  it.each([
    ["payment_declined", "card_declined", "your card was declined"],
    ["payment_declined", "card_expired", "your card has expired"],
    ["payment_declined", "a word of a provider", "a word of a provider"],
    ["order_failed", "out_of_stock", "not everything is in stock"],
    ["order_failed", "hold_expired", "it was not paid in time"],
    ["order_cancelled", "ordered twice", "ordered twice"],
  ] as const)("about %s gives the reason: %s", (kind, reason, words) => {
    expect(written(kind, reason).body).toContain(`: ${words}.`)
  })

  it("about a payment that could not be made does not say that it was declined", () => {
    const { subject, body } = written("payment_declined", "provider_unavailable")
    expect(subject).toContain("could not be made")
    expect(`${subject} ${body}`).not.toMatch(/declined|[Nn]othing was charged/u)
  })

  it("is escaped in HTML", () => {
    const html = htmlOf({ subject: `<Tom> & "Jerry"`, body: "first <script>\n\nsecond 'quoted'" })
    expect(html).toContain("<title>&lt;Tom&gt; &amp; &quot;Jerry&quot;</title>")
    expect(html).toContain("<p>first &lt;script&gt;</p>\n<p>second &#39;quoted&#39;</p>")
    expect(html).not.toContain("<script>")
  })
})

describe("untrusted text", () => {
  it.each([
    ["a line break", "Ada\r\nBcc: eve@example.org", "Ada Bcc: eve@example.org"],
    ["control characters", "\u0000Ada\u0007\u001b[31m\u007f\u0085Lovelace", "Ada [31m Lovelace"],
    ["separators of lines", "Ada\u2028Lovelace\u2029", "Ada Lovelace"],
    ["what turns the direction", "Ada\u202eecalevoL", "Ada ecalevoL"],
    ["a lone surrogate", "Ada\ud800", "Ada\ufffd"],
    ["other scripts", "Ада 😀 \u05d0\u05d3\u05d4", "Ада 😀 \u05d0\u05d3\u05d4"],
  ])("becomes one line: %s", (_what, text, line) => {
    expect(oneLine(text)).toBe(line)
    expect(write({ kind: "welcome", user_id: 1, name: text }, "USD").body.split("\n\n")[0]).toBe(`Hello ${line},`)
    expect(written("order_cancelled", text).body).toContain(`: ${line}.`)
  })

  it("has at most 500 characters", () => {
    expect(oneLine("😀".repeat(1_000))).toHaveLength(500)
    expect(oneLine(`a${"😀".repeat(1_000)}`).isWellFormed()).toBe(true)
  })

  const fragment = Schema.Literals([
    "\r",
    "\n",
    "\u0000",
    "\u0085",
    "\u2028",
    "\u2029",
    "\u202e",
    "\ud800",
    "😀",
    " ",
    "a",
  ])
  const anyText = Arbitrary.map(Arbitrary.array(Arbitrary.schema(fragment), { maxLength: 30 }), (parts) =>
    parts.join(""),
  )

  it.prop("never contains a line break", [anyText], ([text]) => {
    const line = oneLine(text)
    expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/u)
    expect(line).toBe(line.trim())
    expect(oneLine(line)).toBe(line)
  })
})

describe("a fact", () => {
  const now = Date.parse("2026-01-02T03:04:05Z")

  it.each([
    ["now", 0, true],
    ["a day ago", 24 * hour, true],
    ["longer ago", 24 * hour + 1, false],
    ["30 days ago", 30 * 24 * hour, false],
    ["a moment ahead, by a clock that is fast", -60_000, true],
  ])("of %s", (_when, ago, isTold) => {
    expect(isFresh(new Date(now - ago), now)).toBe(isTold)
  })
})

describe("an attempt to send", () => {
  const now = Date.parse("2026-01-12T03:04:05Z")
  const daysAgo = (days: number) => new Date(now - days * 24 * hour)
  const delayed = { _tag: "Delayed", reason: "451 later" } as const

  it.each([
    ["that succeeds sends", { _tag: "Sent" } as const, 9, { status: "sent" }],
    [
      "that is refused fails",
      { _tag: "Refused", reason: "550 no" } as const,
      0,
      { status: "failed", reason: "550 no" },
    ],
    ["that is delayed is made again", delayed, 0, { status: "pending" }],
    ["that is delayed is made again for 5 days", delayed, 5, { status: "pending" }],
    [
      "that is delayed for longer fails",
      delayed,
      5.01,
      { status: "failed", reason: "given up after 5 days: 451 later" },
    ],
  ])("%s", (_what, attempt, days, outcome) => {
    expect(outcomeOf(attempt, daysAgo(days), now)).toEqual(outcome)
  })
})

describe("a Message-ID", () => {
  it.each([
    ["019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42", "<019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42@galleria>"],
    ["order.7+paid", "<order.7+paid@galleria>"],
    ["two words", "<notification-5@galleria>"],
    ["a>\r\nBcc: eve@example.org", "<notification-5@galleria>"],
    [".dots.", "<notification-5@galleria>"],
    ["", "<notification-5@galleria>"],
  ])("is made of the event's id: %j", (event_id, message_id) => {
    expect(messageIdOf(5, event_id)).toBe(message_id)
  })
})

describe("the settings", () => {
  const read = <A>(config: Config.Config<A>, values: Record<string, string>) =>
    Effect.runSyncExit(config.parse(ConfigProvider.fromUnknown(values)))

  it.each([
    "smtp://localhost",
    "smtp://mail.example.org:2525/",
    "smtps://ada%40example.org:pa%3Ass@mail.example.org",
    "smtp://[::1]:1025",
  ])("take the mail server %s", (url) => expect(faultInUrl(url)).toBeUndefined())

  it.each([
    "mail.example.org",
    "http://mail.example.org",
    "smtp://",
    "smtp://mail.example.org:99999",
    "smtp://mail.example.org/inbox",
    "smtp://mail.example.org?pool=true",
    "smtp://:secret@mail.example.org",
    "smtp://ada:secret%zz@mail.example.org",
  ])("refuse the mail server %s, without the secret in it", (url) => {
    expect(faultInUrl(url)).toMatch(/./u)
    expect(faultInUrl(url)).not.toContain("secret")
    expect(String(read(settings.SMTP_URL, { SMTP_URL: url }))).not.toContain("secret")
  })

  it("keep the mail server's URL from being shown", () => {
    const exit = read(settings.SMTP_URL, { SMTP_URL: "smtp://ada:secret@localhost" })
    expect(Exit.isSuccess(exit) && Option.getOrThrow(Option.map(exit.value, Redacted.value))).toContain("secret")
    expect(`${String(exit)} ${JSON.stringify(exit)}`).not.toContain("secret")
  })

  it.each(["no-reply@example.org", "Galleria <no-reply@localhost>", "Café Ada <a.b+c@example.org>", "<a@b>"])(
    "take the sender %s",
    (from) => expect(read(settings.MAIL_FROM, { MAIL_FROM: from })).toEqual(Exit.succeed(from)),
  )

  it.each([
    "Galleria",
    "Galleria <no-reply>",
    "a@b, c@d",
    "Galleria <a@b> <c@d>",
    "Galleria\r\nBcc: eve@example.org <a@b>",
    "a@b\nBcc: eve@example.org",
    "a b@example.org",
  ])("refuse the sender %j", (from) => expect(Exit.isFailure(read(settings.MAIL_FROM, { MAIL_FROM: from }))).toBe(true))

  it.each(["usd", "US", "dollars", "€"])("refuse the currency %s", (currency) =>
    expect(Exit.isFailure(read(settings.CURRENCY, { CURRENCY: currency }))).toBe(true),
  )
})
