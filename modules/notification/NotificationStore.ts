import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { fact } from "../../runtime/events/Event.ts"
import { Outbox } from "../../runtime/outbox/Outbox.ts"
import { Database } from "../../runtime/sql/Database.ts"
import { Tasks } from "../../runtime/module/Tasks.ts"
import type { Notification as NotificationView, NotificationStatus } from "./contract/api.ts"
import { type Channel, type Kind, NotificationSent } from "./contract/events.ts"

/** The task that sends a notification; its rows have the notification's id. */
export const sending = "notification.send"

/** A user to whom notifications are sent. */
export interface User {
  readonly user_id: number
  readonly email: string
  readonly name: string
}

/** A notification to be stored, with the event that caused it. */
export interface NewNotification {
  readonly event_source: string
  readonly event_id: string
  readonly user_id: number
  readonly order_id: number | null
  readonly kind: Kind
  readonly subject: string
  readonly body: string
}

/** A notification that can be sent. */
export interface Sendable extends Omit<NewNotification, "event_source"> {
  readonly id: number
  readonly to: Pick<User, "email" | "name">
  /** When it became sendable: the later of its creation and the time when its user became known. */
  readonly since: Date
}

/** The final status of a notification. */
export interface Ending {
  readonly id: number
  readonly status: Exclude<NotificationStatus, "pending">
  readonly reason: string | null
}

interface Row {
  readonly id: bigint
  readonly user_id: bigint
  readonly order_id: bigint | null
  readonly channel: Channel
  readonly kind: Kind
  readonly subject: string
  readonly body: string
  readonly status: NotificationStatus
  readonly reason: string | null
  readonly created_at: Date
}

interface SendableRow extends Omit<Row, "channel" | "status" | "reason" | "created_at">, Pick<User, "email" | "name"> {
  readonly event_id: string
  readonly since: Date
}

const orderOf = ({ order_id }: Pick<Row, "order_id">) => (order_id === null ? null : Number(order_id))

const viewOf = ({ reason, ...row }: Row): NotificationView => ({
  ...row,
  id: Number(row.id),
  user_id: Number(row.user_id),
  order_id: orderOf(row),
  ...(reason === null ? {} : { reason }),
})

const sendableOf = ({ email, name, ...row }: SendableRow): Sendable => ({
  ...row,
  id: Number(row.id),
  user_id: Number(row.user_id),
  order_id: orderOf(row),
  to: { email, name },
})

const sentOf = (row: Pick<Row, "id" | "user_id" | "order_id" | "channel" | "kind">) =>
  fact(NotificationSent, {
    notification_id: Number(row.id),
    user_id: Number(row.user_id),
    ...(row.order_id === null ? {} : { order_id: Number(row.order_id) }),
    channel: row.channel,
    kind: row.kind,
  })

const rowsOf = (rows: ReadonlyArray<object>) => JSON.stringify(rows.map((row, n) => ({ n, ...row })))

/** The queries of the tables of notifications and users. */
const queries = (sql: SqlClient.SqlClient) => {
  /**
   * Which of these users are known. The rows of unknown users are locked until the transaction ends. A concurrent
   * transaction that records such a user either commits first, and is visible here, or runs afterwards, and sees the
   * notifications of this transaction.
   */
  const knownOf = (ids: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const known = yield* sql<{ user_id: bigint }>`
        select user_id from users where email is not null
          and user_id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json))`
      const found = new Set(known.map(({ user_id }) => Number(user_id)))
      const missing = [...new Set(ids)].filter((id) => !found.has(id))
      if (missing.length === 0) return found
      const locked = yield* sql<{ user_id: bigint; known: boolean }>`
        insert into users as u (user_id)
        select value::bigint from json_array_elements_text(${JSON.stringify(missing)}::json) order by 1
        on conflict (user_id) do update set user_id = excluded.user_id
        returning u.user_id, u.email is not null as known`
      for (const { user_id, known } of locked) if (known) found.add(Number(user_id))
      return found
    })

  /**
   * Which of these notifications are still to be sent, locked until the transaction ends. All are found by their ids first: a
   * plan from when the table was empty would look for pending ones in all.
   */
  const lockPending = (ids: ReadonlyArray<string>) =>
    Effect.map(
      Effect.orDie(sql<SendableRow>`
        with locked as (
          select * from notifications
          where id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json))
          order by id for update)
        select n.id, n.event_id, n.user_id, n.order_id, n.kind, n.subject, n.body, u.email, u.name,
          greatest(n.created_at, u.known_at) as since
        from locked n join users u on u.user_id = n.user_id
        where n.status = 'pending' and u.email is not null
        order by n.id`),
      (rows) => rows.map(sendableOf),
    )

  const newest = (
    filter: { readonly user_id?: number; readonly order_id?: number },
    before: string | undefined,
    limit: number,
  ) => {
    const wanted = sql.and([
      ...(filter.user_id === undefined ? [] : [sql`user_id = ${filter.user_id}`]),
      ...(filter.order_id === undefined ? [] : [sql`order_id = ${filter.order_id}`]),
      ...(before === undefined ? [] : [sql`id < ${before}::bigint`]),
    ])
    return Effect.map(
      Effect.orDie(sql<Row>`
        select id, user_id, order_id, channel, kind, subject, body, status, reason, created_at
        from notifications where ${wanted} order by id desc limit ${limit}`),
      (rows) => rows.map(viewOf),
    )
  }

  return { knownOf, lockPending, newest }
}

/** The tables of notifications and of the users to whom they are sent. */
export class NotificationStore extends Context.Service<NotificationStore>()("notification/NotificationStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { knownOf, lockPending, newest } = queries(sql)
    const database = yield* Database
    const outbox = yield* Outbox
    const tasks = yield* Tasks

    /**
     * Stores notifications, at most one for each event, and adds the sending task of those whose user is known; the others
     * wait for their user. `channel` is the channel expected at this time.
     */
    const add = (notifications: ReadonlyArray<NewNotification>, channel: Channel, now: Date) =>
      database.transaction(
        Effect.gen(function* () {
          if (notifications.length === 0) return
          const added = yield* sql<{ id: bigint; user_id: bigint }>`
            insert into notifications
              (event_source, event_id, user_id, order_id, kind, channel, subject, body, status, created_at)
            select event_source, event_id, user_id, order_id, kind, ${channel}, subject, body, 'pending', ${now}
            from json_to_recordset(${rowsOf(notifications)}::json) as x (n int, event_source text, event_id text,
              user_id bigint, order_id bigint, kind text, subject text, body text) order by n
            on conflict (event_source, event_id) do nothing returning id, user_id`
          if (added.length === 0) return
          const known = yield* knownOf(added.map(({ user_id }) => Number(user_id)))
          yield* tasks.add(
            sending,
            added.filter(({ user_id }) => known.has(Number(user_id))).map(({ id }) => ({ id: String(id) })),
          )
        }).pipe(Effect.orDie),
      )

    /** Records users, each by the last entry, and adds the sending tasks of notifications that waited for them. */
    const knowUsers = (users: ReadonlyArray<User>, now: Date) =>
      database.transaction(
        Effect.gen(function* () {
          const last = [...new Map(users.map((user) => [user.user_id, user])).values()]
          yield* sql`
            insert into users as u (user_id, email, name, known_at)
            select user_id, email, name, ${now} from json_to_recordset(${JSON.stringify(last)}::json)
              as x (user_id bigint, email text, name text) order by user_id
            on conflict (user_id) do update set
              email = excluded.email, name = excluded.name, known_at = coalesce(u.known_at, excluded.known_at)`
          const waiting = yield* sql<{ id: bigint }>`
            select id from notifications where status = 'pending' and user_id in (
              select value::bigint from json_array_elements_text(${JSON.stringify(last.map(({ user_id }) => user_id))}::json))`
          yield* tasks.add(
            sending,
            waiting.map(({ id }) => ({ id: String(id) })),
          )
        }).pipe(Effect.orDie),
      )

    /** Ends pending notifications, and publishes `notification_sent` for those that were sent, with `channel`. */
    const end = (endings: ReadonlyArray<Ending>, channel: Channel) =>
      database.transaction(
        Effect.gen(function* () {
          if (endings.length === 0) return
          // By `was`, not by a literal, so that every plan finds the rows by their ids, as in `lockPending`.
          const ended = yield* sql<Row>`
            update notifications n set status = x.status, reason = x.reason, channel = ${channel}
            from json_to_recordset(${JSON.stringify(endings.map((ending) => ({ ...ending, was: "pending" })))}::json)
              as x (id bigint, status text, reason text, was text)
            where n.id = x.id and n.status = x.was
            returning n.id, n.user_id, n.order_id, n.channel, n.kind, n.status`
          yield* outbox.append(ended.filter(({ status }) => status === "sent").map(sentOf))
        }).pipe(Effect.orDie),
      )

    return { add, knowUsers, lockPending, end, newest }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
