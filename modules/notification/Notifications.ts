import { Clock, Context, Effect, Layer } from "effect"
import type { Ended } from "../../runtime/module/Task.ts"
import { type Letter, Mailer } from "./Mailer.ts"
import { type Attempt, htmlOf, isFresh, messageIdOf, type Occasion, oneLine, outcomeOf, write } from "./Notification.ts"
import { type Ending, NotificationStore, type Sendable, type User } from "./NotificationStore.ts"
import { settings } from "./settings.ts"

/** An occasion for a notification, and the event that it comes from. */
export interface Happening {
  readonly source: string
  readonly event_id: string
  readonly time: Date
  readonly occasion: Occasion
}

/** A letter, and the time since which it could be sent. */
export interface Sending {
  readonly letter: Letter
  readonly since: Date
}

const sendingOf = (notification: Sendable): Sending => {
  const { id, event_id, user_id, order_id, kind, subject, body, to, since } = notification
  return {
    since,
    letter: {
      notification_id: id,
      user_id,
      order_id,
      kind,
      message_id: messageIdOf(id, event_id),
      to: { name: to.name, address: to.email },
      subject,
      text: body,
      html: htmlOf({ subject, body }),
    },
  }
}

/** The attempt of a call: one without an answer counts as delayed. */
const attemptOf = ({ result }: Ended<Sending, Attempt>): Attempt =>
  result._tag === "Answered" ? result.answer : { _tag: "Delayed", reason: result.reason }

/** The use cases of notifications. */
export class Notifications extends Context.Service<Notifications>()("notification/Notifications", {
  make: Effect.gen(function* () {
    const store = yield* NotificationStore
    const mailer = yield* Mailer
    const currency = yield* Effect.orDie(settings.CURRENCY)

    /** Stores one notification for each event of the last 24 hours, to be sent once its user is known. */
    const notify = Effect.fn("Notifications.notify")(function* (happenings: ReadonlyArray<Happening>) {
      const now = yield* Clock.currentTimeMillis
      const notifications = happenings
        .filter(({ time }) => isFresh(time, now))
        .map(({ source, event_id, occasion }) => ({
          event_source: source,
          event_id,
          user_id: occasion.user_id,
          order_id: occasion.kind === "welcome" ? null : occasion.order_id,
          kind: occasion.kind,
          ...write(occasion, currency),
        }))
      yield* store.add(notifications, mailer.channel, new Date(now))
    })

    /** Records users and their addresses; notifications that waited for one of them are sent. */
    const recordUsers = Effect.fn("Notifications.recordUsers")(function* (users: ReadonlyArray<User>) {
      const cleaned = users.map(({ user_id, email, name }) => ({ user_id, email: oneLine(email), name: oneLine(name) }))
      yield* store.knowUsers(cleaned, new Date(yield* Clock.currentTimeMillis))
    })

    /** The letters of these notifications, in their order; undefined for those that need not be sent any more. */
    const lettersOf = Effect.fn("Notifications.lettersOf")(function* (ids: ReadonlyArray<string>) {
      const pending = yield* store.lockPending(ids)
      const sendings = new Map(pending.map((notification) => [String(notification.id), sendingOf(notification)]))
      return ids.map((id) => sendings.get(id))
    })

    /** Sends a letter; fails with `MailDelayed` when another attempt may succeed. */
    const send = Effect.fn("Notifications.send")((letter: Letter) =>
      mailer.send(letter).pipe(
        Effect.as<Attempt>({ _tag: "Sent" }),
        Effect.catchTag("MailRefused", ({ reason }) => Effect.succeed<Attempt>({ _tag: "Refused", reason })),
      ),
    )

    /** Records attempts, and returns the status of each notification, in their order. */
    const record = Effect.fn("Notifications.record")(function* (ended: ReadonlyArray<Ended<Sending, Attempt>>) {
      const now = yield* Clock.currentTimeMillis
      const outcomes = ended.map((one) => outcomeOf(attemptOf(one), one.call.since, now))
      const endings = outcomes.flatMap((outcome, n): ReadonlyArray<Ending> => {
        if (outcome.status === "pending") return []
        const reason = outcome.status === "failed" ? outcome.reason : null
        return [{ id: ended[n]!.call.letter.notification_id, status: outcome.status, reason }]
      })
      yield* store.end(endings, mailer.channel)
      return outcomes
    })

    const list = Effect.fn("Notifications.list")(store.newest)

    return { notify, recordUsers, lettersOf, send, record, list }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(Layer.provide(NotificationStore.layer))
}
