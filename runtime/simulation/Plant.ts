import type { SqlClient } from "effect/sql"
import type { inbox } from "../inbox/Inbox.ts"
import type { Reaction } from "../module/Reaction.ts"
import type { Task } from "../module/Task.ts"

/** A mistake that is built into the modules for a run, to show that the simulation notices it. */
export interface Plant {
  readonly name: string
  /** `sql` is the client of the module. */
  readonly reaction?: (reaction: Reaction<never>, sql: SqlClient.SqlClient) => Reaction<never>
  readonly task?: (task: Task<never>, sql: SqlClient.SqlClient) => Task<never>
  readonly inbox?: typeof inbox
  /** The position of a module moves before the effects of the records, by itself. */
  readonly movesFirst?: true
}
