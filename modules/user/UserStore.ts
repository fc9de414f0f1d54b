import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { fact } from "../../runtime/events/Event.ts"
import { type Claim, Idempotency } from "../../runtime/http/Idempotency.ts"
import { Outbox } from "../../runtime/outbox/Outbox.ts"
import { EmailTaken, type NewUser, type User } from "./contract/api.ts"
import { UserCreated } from "./contract/events.ts"
import { emailKey } from "./User.ts"

interface Row {
  readonly id: bigint
  readonly email: string
  readonly name: string
  readonly created_at: Date
}

const userOf = (row: Row): User => ({ ...row, id: Number(row.id) })

/** The table of users. */
export class UserStore extends Context.Service<UserStore>()("user/UserStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const outbox = yield* Outbox
    const idempotency = yield* Idempotency

    /** Stores a new user, its event and the answer to the request in one transaction. */
    const create = (user: typeof NewUser.Type, claim: Claim<User>) =>
      idempotency.keep(
        claim,
        Effect.gen(function* () {
          const now = new Date(yield* Clock.currentTimeMillis)
          const [row] = yield* Effect.orDie(sql<Row>`
            insert into users (email, email_key, name, created_at)
            values (${user.email}, ${emailKey(user.email)}, ${user.name}, ${now})
            on conflict (email_key) do nothing returning id, email, name, created_at`)
          if (row === undefined) return yield* new EmailTaken({})
          const created = userOf(row)
          const { id: user_id, email, name, created_at } = created
          yield* outbox.append([fact(UserCreated, { user_id, email, name, created_at })])
          return created
        }),
      )

    const find = (id: number) =>
      Effect.map(Effect.orDie(sql<Row>`select id, email, name, created_at from users where id = ${id}`), ([row]) =>
        row === undefined ? undefined : userOf(row),
      )

    const newest = (before: string | undefined, limit: number) =>
      Effect.map(
        Effect.orDie(sql<Row>`
          select id, email, name, created_at from users
          where ${before === undefined} or id < ${before ?? 0}::bigint order by id desc limit ${limit}`),
        (rows) => rows.map(userOf),
      )

    return { create, find, newest }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
