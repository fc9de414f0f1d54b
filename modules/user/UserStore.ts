import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { type Answered, type Claim, Idempotency, type Key } from "../../runtime/http/Idempotency.ts"
import { Outbox } from "../../runtime/outbox/Outbox.ts"
import { Database } from "../../runtime/sql/Database.ts"
import type { NewUser, User } from "./contract/api.ts"
import { UserCreated } from "./contract/events.ts"
import { emailKey } from "./User.ts"

interface Row {
  readonly id: bigint
  readonly email: string
  readonly name: string
  readonly created_at: Date
}

const userOf = (row: Row): User => ({ ...row, id: Number(row.id) })

/** The result of a creation. */
export type Created =
  | { readonly _tag: "Created"; readonly answered: Answered<User> }
  | { readonly _tag: "EmailTaken" }
  | { readonly _tag: "KeyTaken" }

/** The inputs that have neither an e-mail nor an idempotency key of an earlier one. */
const firstsOf = <Input extends { readonly row: { readonly email_key: string; readonly claim: Key | null } }>(
  inputs: ReadonlyArray<Input>,
): ReadonlySet<Input> => {
  const seen = new Set<string>()
  const isFirst = ({ row: { email_key, claim } }: Input) => {
    const names = [`e-mail ${email_key}`, ...(claim === null ? [] : [`key ${claim.scope} ${claim.key}`])]
    const isNew = names.every((name) => !seen.has(name))
    for (const name of names) seen.add(name)
    return isNew
  }
  return new Set(inputs.filter(isFirst))
}

/** The table of users. */
export class UserStore extends Context.Service<UserStore>()("user/UserStore", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const outbox = yield* Outbox
    const idempotency = yield* Idempotency

    /** A new user as the statement's input: everything that is known before the user has an id. */
    const inputOf = ({ email, name }: typeof NewUser.Type, claim: Claim<User>) =>
      Effect.gen(function* () {
        const created_at = new Date(yield* Clock.currentTimeMillis)
        const event = yield* outbox.draft(UserCreated, { email, name, created_at }, ["user_id"])
        const answer = claim.draft({ email, name, created_at })
        return { row: { email, email_key: emailKey(email), name, created_at, event, claim: answer.row }, answer }
      })
    type Input = Effect.Success<ReturnType<typeof inputOf>>

    /**
     * Stores users, their events and the answers to their requests in one statement, whose inputs differ in e-mail and key.
     * A taken e-mail and a taken key are results, not errors. It fails when another transaction takes an e-mail meanwhile.
     */
    const insert = Effect.fnUntraced(function* (inputs: ReadonlyArray<Input>) {
      const claims = yield* idempotency.insert(sql`select claim, id from input where claim is not null`)
      const rows = yield* sql<{ free: boolean; id: bigint | null }>`
        with asked as materialized (
          select * from json_to_recordset(${JSON.stringify(inputs.map(({ row }, n) => ({ n, ...row })))}::json)
            as x (n int, email text, email_key text, name text, created_at timestamptz, event json, claim json)),
        input as materialized (
          select a.*, nextval('users_id_seq') as id from asked a
          where not exists (select from users u where u.email_key = a.email_key)),
        claimed as (${claims}),
        created as materialized (
          select * from input
          where claim is null or (claim->>'scope', claim->>'key') in (select scope, key from claimed)
          order by n),
        users_in as (
          insert into users (id, email, email_key, name, created_at) overriding system value
          select id, email, email_key, name, created_at from created order by email_key),
        outbox_in as (${outbox.insert(UserCreated, sql`select n, event, '{"user_id":' || id || '}' from created`)})
        select i.n is not null as free, c.id from asked a
        left join input i on i.n = a.n left join created c on c.n = a.n order by a.n`
      yield* outbox.wake
      return rows.map(({ free, id }, n): Created => {
        if (!free) return { _tag: "EmailTaken" }
        if (id === null) return { _tag: "KeyTaken" }
        return { _tag: "Created", answered: inputs[n]!.answer.complete(Number(id)) }
      })
    })

    /** In one statement, and in one transaction of several where inputs have an e-mail or a key in common. */
    const createMany = (inputs: ReadonlyArray<Input>): Effect.Effect<ReadonlyArray<Created>, SqlError.SqlError> => {
      const firsts = firstsOf(inputs)
      if (firsts.size < inputs.length) {
        const [now, later] = [inputs.filter((input) => firsts.has(input)), inputs.filter((input) => !firsts.has(input))]
        return database.transaction(
          Effect.gen(function* () {
            const results = [...(yield* insert(now)), ...(yield* createMany(later))]
            const resultOf = new Map([...now, ...later].map((input, n) => [input, results[n]!]))
            return inputs.map((input) => resultOf.get(input)!)
          }),
        )
      }
      // Another transaction has taken the e-mail meanwhile. Of several inputs each is inserted alone after that.
      const isEmailTaken = ({ reason }: SqlError.SqlError) => inputs.length === 1 && reason._tag === "UniqueViolation"
      return Effect.catchIf(insert(inputs), isEmailTaken, () => Effect.succeed([{ _tag: "EmailTaken" } as const]))
    }

    const send = yield* database.coalesce(createMany)

    const create = (user: typeof NewUser.Type, claim: Claim<User>) => Effect.flatMap(inputOf(user, claim), send)

    const findMany = (ids: ReadonlyArray<number>) =>
      Effect.map(
        sql<Row>`
          select id, email, name, created_at from users
          where id in (select value::bigint from json_array_elements_text(${JSON.stringify(ids)}::json))`,
        (rows) => {
          const found = new Map(rows.map((row) => [Number(row.id), userOf(row)]))
          return ids.map((id) => found.get(id))
        },
      )
    const find = yield* database.coalesce(findMany)

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
