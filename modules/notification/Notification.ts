import { format, type Money } from "../Money.ts"
import type { Kind } from "./contract/events.ts"

/** The event that a notification is about. */
export type Occasion = Welcome | OrderOccasion

interface Welcome {
  readonly kind: "welcome"
  readonly user_id: number
  readonly name: string
}

interface OrderOccasion {
  readonly kind: Exclude<Kind, "welcome">
  readonly user_id: number
  readonly order_id: number
  readonly amount: Money
  readonly reason?: string
}

/** A message to a user: plain text, paragraphs separated by an empty line. */
export interface Message {
  readonly subject: string
  readonly body: string
}

const hour = 60 * 60 * 1_000

/** Older events cause no notification, so that a module that reads the history sends no mails about it. */
const freshForMillis = 24 * hour

/** Whether an event of that time still causes a notification. `now` is in milliseconds. */
export const isFresh = (happened: Date, now: number): boolean => now - happened.getTime() <= freshForMillis

/** How long sending is retried: as long as mail servers do (RFC 5321 §4.5.4.1). */
const triedForMillis = 5 * 24 * hour

/** The result of one attempt to send. */
export type Attempt =
  | { readonly _tag: "Sent" }
  /** The recipient's address or the message was rejected for good. */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** The attempt failed, and another one may succeed. */
  | { readonly _tag: "Delayed"; readonly reason: string }

export type Outcome =
  | { readonly status: "sent" }
  | { readonly status: "failed"; readonly reason: string }
  | { readonly status: "pending" }

/** The status of a notification after an attempt; it could be sent since `since`. `now` is in milliseconds. */
export const outcomeOf = (attempt: Attempt, since: Date, now: number): Outcome => {
  if (attempt._tag === "Sent") return { status: "sent" }
  if (attempt._tag === "Refused") return { status: "failed", reason: attempt.reason }
  const isOver = now - since.getTime() > triedForMillis
  return isOver ? { status: "failed", reason: `given up after 5 days: ${attempt.reason}` } : { status: "pending" }
}

/** Control characters, line and paragraph separators, and characters that change the text direction. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu

const mostCharacters = 500

/** Untrusted text as one line that is safe in a header or a sentence. */
export const oneLine = (text: string): string =>
  text.toWellFormed().replace(unprintable, " ").replace(/ {2,}/gu, " ").trim().slice(0, mostCharacters).toWellFormed()

const reasons: Readonly<Record<string, string>> = {
  card_declined: "your card was declined",
  card_expired: "your card has expired",
  unknown_payment_method: "the means of payment is not known",
  provider_unavailable: "the payment provider could not be reached",
  out_of_stock: "not everything is in stock",
  unknown_product: "a product does not exist",
  hold_expired: "it was not paid in time",
}

const because = ({ reason }: OrderOccasion) => (reason === undefined ? "" : `: ${reasons[reason] ?? oneLine(reason)}`)

type Paragraphs = readonly [subject: string, ...body: ReadonlyArray<string>]

const templates: Record<OrderOccasion["kind"], (order: OrderOccasion, amount: string) => Paragraphs> = {
  order_created: ({ order_id }, amount) => [
    `We received your order ${order_id}`,
    `Thank you for your order ${order_id} of ${amount}. We will write again when something happens to it.`,
  ],
  order_paid: ({ order_id }, amount) => [
    `Your order ${order_id} is paid`,
    `We received your payment of ${amount} for your order ${order_id}.`,
  ],
  payment_declined: (order, amount) =>
    order.reason === "provider_unavailable"
      ? [
          `The payment for your order ${order.order_id} could not be made`,
          `We tried to collect ${amount} for your order ${order.order_id}, but the payment provider could not be reached.`,
          "Should the amount be charged all the same, you get it back.",
        ]
      : [
          `The payment for your order ${order.order_id} was declined`,
          `The payment of ${amount} for your order ${order.order_id} was declined${because(order)}. Nothing was charged.`,
        ],
  order_processed: ({ order_id }, amount) => [
    `Your order ${order_id} is complete`,
    `Your order ${order_id} of ${amount} is complete. Thank you for shopping with us.`,
  ],
  order_failed: (order, amount) => [
    `Your order ${order.order_id} could not be completed`,
    `Your order ${order.order_id} of ${amount} could not be completed${because(order)}.`,
    "If you have paid already, you get your money back.",
  ],
  order_cancelled: (order, amount) => [
    `Your order ${order.order_id} is cancelled`,
    `Your order ${order.order_id} of ${amount} is cancelled${because(order)}.`,
    "If you have paid already, you get your money back.",
  ],
  payment_refunded: ({ order_id }, amount) => [
    `The payment for your order ${order_id} was refunded`,
    `We refunded ${amount} for your order ${order_id}.`,
  ],
}

const welcome = ({ name }: Welcome): Paragraphs => [
  "Welcome to Galleria",
  `Hello ${oneLine(name)},`,
  "your account is ready. We will write to this address about your orders.",
]

/** Composes the message about an occasion; amounts are in `currency`, a code such as USD. */
export const write = (occasion: Occasion, currency: string): Message => {
  const [subject, ...body] =
    occasion.kind === "welcome"
      ? welcome(occasion)
      : templates[occasion.kind](occasion, `${format(occasion.amount)} ${currency}`)
  return { subject, body: body.join("\n\n") }
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

const escaped = (text: string) => text.replace(/[&<>"']/gu, (character) => entities[character]!)

/** The same message as HTML. */
export const htmlOf = ({ subject, body }: Message): string => {
  const paragraphs = body.split("\n\n").map((paragraph) => `<p>${escaped(paragraph)}</p>`)
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escaped(subject)}</title></head>
<body>
<h1>${escaped(subject)}</h1>
${paragraphs.join("\n")}
</body>
</html>
`
}

/** Text that may be the local part of an address without quoting (RFC 5322 §3.2.3, dot-atom). */
const dotAtom = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/u

/**
 * The Message-ID of a notification, the same at each attempt, so that duplicates can be recognised. It contains the event's
 * id, or the notification's id when the event's id has characters that are not allowed in an address.
 */
export const messageIdOf = (id: number, event_id: string): string =>
  `<${dotAtom.test(event_id) ? event_id : `notification-${id}`}@galleria>`
