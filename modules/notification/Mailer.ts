import { Context, type Effect, Schema } from "effect"
import type { Channel, Kind } from "./contract/events.ts"

/** A notification as it is sent. */
export interface Letter {
  readonly notification_id: number
  readonly user_id: number
  readonly order_id: number | null
  readonly kind: Kind
  /** Identifies the message at each attempt, in angle brackets. */
  readonly message_id: string
  /** The name is one line; the address may be anything. */
  readonly to: { readonly name: string; readonly address: string }
  readonly subject: string
  readonly text: string
  readonly html: string
}

/** The message will not be taken, however often it is sent. */
export class MailRefused extends Schema.TaggedError<MailRefused>()("MailRefused", { reason: Schema.String }) {}

/** The message was not taken this time, or it is not known whether it was. */
export class MailDelayed extends Schema.TaggedError<MailDelayed>()("MailDelayed", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

/** Sends letters. A letter that is sent again has the same Message-ID, so repeating an unknown call does no harm. */
export class Mailer extends Context.Service<
  Mailer,
  {
    readonly channel: Channel
    readonly send: (letter: Letter) => Effect.Effect<void, MailRefused | MailDelayed>
    /** Why the mail server took no letter when it was last tried; undefined when it did, or when none was sent yet. */
    readonly fault: Effect.Effect<string | undefined>
  }
>()("notification/Mailer") {}
