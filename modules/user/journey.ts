import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Journey } from "../../runtime/module/Journey.ts"

export const journey = Effect.map(SqlClient.SqlClient, (sql): Journey => ({
  find: (id) =>
    Effect.map(Effect.orDie(sql`select 1 from users where id = ${id}`), (rows) => rows.map(() => "user" as const)),
}))
