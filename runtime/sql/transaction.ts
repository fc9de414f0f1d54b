import { Cause, Deferred, Effect, Exit, type Latch, Option } from "effect"
import { type SqlClient, SqlError } from "effect/sql"
import type { Bell } from "./Database.ts"

/** `Database.transaction` on any client. Joins the running transaction, where the client would make a savepoint. */
export const transactionOf =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.serviceOption(sql.transactionService), (running) =>
      Option.isSome(running)
        ? work
        : Effect.catchIf(
            sql.withTransaction(work),
            (error): error is SqlError.SqlError => SqlError.isSqlError(error),
            (error) => Effect.die(error),
          ),
    )

/** A bell of this process only. */
export interface LocalBell extends Bell {
  readonly ringUnsafe: () => void
}

export const localBell = (sql: SqlClient.SqlClient): LocalBell => {
  let current = Deferred.makeUnsafe<void>()
  const latches = new Set<Latch.Latch>()
  const ringUnsafe = () => {
    for (const latch of latches) latch.openUnsafe()
    const rung = current
    current = Deferred.makeUnsafe<void>()
    Deferred.doneUnsafe(rung, Exit.void)
  }
  const opens = (latch: Latch.Latch) =>
    Effect.acquireRelease(
      Effect.sync(() => void latches.add(latch)),
      () => Effect.sync(() => void latches.delete(latch)),
    )
  return {
    ring: sql.afterCommit(Effect.sync(ringUnsafe)),
    ringUnsafe,
    next: Effect.sync(() => current),
    opens,
    claim: Effect.void,
  }
}

/** The `SqlError` in a cause, as a failure or as a defect. */
export const sqlErrorIn = (cause: Cause.Cause<unknown>): SqlError.SqlError | undefined =>
  cause.reasons
    .map((reason) =>
      Cause.isDieReason(reason) ? reason.defect : Cause.isFailReason(reason) ? reason.error : undefined,
    )
    .find((error): error is SqlError.SqlError => SqlError.isSqlError(error))
