import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { InvalidCursor, type ListName, Page } from "../Page.ts"

/** A page ends before its limit when its rows have this many bytes. */
const mostBytes = 2 * 1024 * 1024

/** The default of `rowsAtOnce`. */
const usualAtOnce = 64

/** Values nested deeper are not measured. */
const deepest = 20

/** The approximate bytes of a value as JSON. */
const bytesOf = (value: unknown, depth = 0): number => {
  if (typeof value === "string") return Buffer.byteLength(value) + 2
  if (typeof value !== "object" || value === null || depth > deepest) return 8
  let bytes = 2
  for (const [name, member] of Object.entries(value)) bytes += name.length + 4 + bytesOf(member, depth + 1)
  return bytes
}

const nameOf = (list: ListName) => JSON.stringify(list.map((part) => part ?? null))

/** Makes and reads cursors that are signed with a key. */
export const makeCursors = (key: Buffer): Pick<Page["Service"], "seal" | "open"> => {
  const sign = (list: ListName, position: string) =>
    createHmac("sha256", key)
      .update(JSON.stringify([nameOf(list), position]))
      .digest()
      .subarray(0, 16)

  const seal = (list: ListName, position: string) =>
    `${Buffer.from(position).toString("base64url")}.${sign(list, position).toString("base64url")}`

  return {
    seal,
    open: (list, cursor) =>
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
      }),
  }
}

/** `Page` with cursors signed by a key that is stored in the module's database. */
export const layer = Layer.effect(
  Page,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`insert into secrets (name, value) values ('cursor', ${randomBytes(32).toString("base64")}) on conflict do nothing`
    const [secret] = yield* sql<{ value: string }>`select value from secrets where name = 'cursor'`
    const key = Buffer.from(secret!.value, "base64")

    const { seal, open } = makeCursors(key)
    return {
      seal,
      open,
      of: ({ list, query, read, position, rowsAtOnce = usualAtOnce }) =>
        Effect.gen(function* () {
          let after = query.cursor === undefined ? undefined : yield* open(list, query.cursor)
          const items: Array<Parameters<typeof position>[0]> = []
          let bytes = 0
          for (;;) {
            // One more row than the page takes shows whether there is another page.
            const wanted = Math.min(query.limit + 1 - items.length, rowsAtOnce)
            const rows = yield* read(after, wanted)
            for (const row of rows) {
              if (items.length === query.limit || bytes >= mostBytes) return { items, next_cursor: seal(list, after!) }
              items.push(row)
              bytes += bytesOf(row)
              after = String(position(row))
            }
            if (rows.length < wanted) return { items, next_cursor: null }
          }
        }),
    }
  }),
)
