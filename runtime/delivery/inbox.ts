import type { SqlClient } from "effect/sql"
import { deadLetterQueue } from "./deadLetterTable.ts"
import { inboxTable } from "./inboxTable.ts"

/**
 * The statements of DELIVERY.md, *Taking charge*, each to be run by itself inside one transaction, in this order. The
 * order matters: `takeCharge` may wait for another transaction, and only a later snapshot sees the dead letters that the
 * other one added.
 */
export const inbox = (sql: SqlClient.SqlClient) => {
  const { takeCharge } = inboxTable(sql)
  const { heldKeys, addDeadLetters } = deadLetterQueue(sql)
  return { takeCharge, heldKeys, addDeadLetters }
}

export type Inbox = ReturnType<typeof inbox>
