import type { SqlClient } from "effect/sql"
import type { Deliveries } from "../../module/Deliveries.ts"
import type { inbox } from "../../delivery/inbox.ts"
import type { Reaction } from "../../module/Reaction.ts"
import type { Task } from "../../module/Task.ts"

/** A change of the modules for a run. `sql` is the client of the module. */
export interface Plant {
  readonly reaction?: (reaction: Reaction<never>, sql: SqlClient.SqlClient) => Reaction<never>
  readonly task?: (task: Task<never>, sql: SqlClient.SqlClient) => Task<never>
  readonly inbox?: typeof inbox
  readonly deliveries?: (right: Deliveries["Service"]) => Deliveries["Service"]
  /** The position of a module moves in a transaction of its own, before the effects of the records. */
  readonly movesFirst?: true
}

/** A bug that is built into the modules, to show that the simulation finds it. */
export interface PlantedBug extends Plant {
  readonly name: string
  /** A seed that finds it. */
  readonly foundBy: number
}
