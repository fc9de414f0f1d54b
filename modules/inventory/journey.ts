import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Journey } from "../../runtime/module/Journey.ts"
import type { HoldStatus } from "./Hold.ts"
import { expireHold } from "./HoldStore.ts"

interface Row {
  readonly user_id: bigint
  readonly status: HoldStatus
  readonly created_at: Date
}

export const journey = Effect.map(SqlClient.SqlClient, (sql): Journey => ({
  of: (order_id) =>
    Effect.map(
      Effect.orDie(sql<Row>`select user_id, status, created_at from holds where order_id = ${order_id}`),
      ([row]) => {
        if (row === undefined) return undefined
        const { user_id, status: state, created_at: at } = row
        const task = { name: expireHold, id: String(order_id) }
        return { user_id: Number(user_id), steps: [{ kind: "hold", at, state, task }] }
      },
    ),
}))
