import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { InvalidCursor, Page } from "./Page.ts"

/** `Page` with cursors signed by a key that is kept in the module's database. */
export const layer = Layer.effect(
  Page,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`insert into secrets (name, value) values ('cursor', ${randomBytes(32).toString("base64")}) on conflict do nothing`
    const [secret] = yield* sql<{ value: string }>`select value from secrets where name = 'cursor'`
    const key = Buffer.from(secret!.value, "base64")

    const sign = (list: string, position: string) =>
      createHmac("sha256", key)
        .update(JSON.stringify([list, position]))
        .digest()
        .subarray(0, 16)

    const seal = (list: string, position: string) =>
      `${Buffer.from(position).toString("base64url")}.${sign(list, position).toString("base64url")}`

    const open = (list: string, cursor: string) =>
      Effect.suspend(() => {
        const [position, signature, ...more] = cursor.split(".")
        const text = Buffer.from(position ?? "", "base64url").toString()
        const given = Buffer.from(signature ?? "", "base64url")
        const right = sign(list, text)
        return more.length === 0 &&
          given.length === right.length &&
          timingSafeEqual(given, right) &&
          seal(list, text) === cursor
          ? Effect.succeed(text)
          : Effect.fail(new InvalidCursor({}))
      })

    return {
      of: ({ list, query, read, position }) =>
        Effect.gen(function* () {
          const name = JSON.stringify(list.map((part) => part ?? null))
          const after = query.cursor === undefined ? undefined : yield* open(name, query.cursor)
          const rows = yield* read(after, query.limit + 1)
          const items = rows.slice(0, query.limit)
          const last = items.at(-1)
          const more = rows.length > items.length && last !== undefined
          return { items, next_cursor: more ? seal(name, String(position(last))) : null }
        }),
    }
  }),
)
