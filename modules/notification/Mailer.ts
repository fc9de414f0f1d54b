import { Context, type Effect, Schema } from "effect"
import type { Channel, Kind } from "./contract/events.ts"

/** A notification in the form in which it is sent. */
export interface Letter {
  readonly notification_id: number
  readonly user_id: number
  readonly order_id: number | null
  readonly kind: Kind
  /** The Message-ID, the same at each attempt, in angle brackets. */
  readonly message_id: string
  /** The name is one line; the address may be anything. */
  readonly to: { readonly name: string; readonly address: string }
  readonly subject: string
  readonly text: string
  readonly html: string
}

/** The server rejected the message for good. */
export class MailRefused extends Schema.TaggedError<MailRefused>()("MailRefused", { reason: Schema.String }) {}

/** The attempt failed, or its result is unknown. */
export class MailDelayed extends Schema.TaggedError<MailDelayed>()("MailDelayed", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

/** Sends letters. A repeated letter has the same Message-ID, so an unknown call may be repeated. */
export class Mailer extends Context.Service<
  Mailer,
  {
    readonly channel: Channel
    readonly send: (letter: Letter) => Effect.Effect<void, MailRefused | MailDelayed>
    /** Why the last attempt to send failed; undefined when it succeeded, or before the first attempt. */
    readonly fault: Effect.Effect<string | undefined>
  }
>()("notification/Mailer") {}
