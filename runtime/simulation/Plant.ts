import type { SqlClient } from "effect/sql"
import type { inbox } from "../inbox/Inbox.ts"
import type { Reaction } from "../module/Reaction.ts"
import type { Task } from "../module/Task.ts"

/** A change of the modules for a run. */
export interface Plant {
  /** `sql` is the client of the module. */
  readonly reaction?: (reaction: Reaction<never>, sql: SqlClient.SqlClient) => Reaction<never>
  readonly task?: (task: Task<never>, sql: SqlClient.SqlClient) => Task<never>
  readonly inbox?: typeof inbox
  /** The position of a module moves before the effects of the records, by itself. */
  readonly movesFirst?: true
}

/** A mistake that is built into the modules, to show that the simulation notices it. */
export interface Mistake extends Plant {
  readonly name: string
  /** A seed that notices it. */
  readonly foundBy: number
}
