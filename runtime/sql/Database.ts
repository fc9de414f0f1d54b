import { Context, type Deferred, type Effect, type Latch, type Layer, Schema, type Scope } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** The database is unavailable, or not writable at the moment. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  reason: Schema.String,
}) {
  override get message(): string {
    return this.reason
  }
}

/** Notifies all waiting fibers, in every instance of the module, of a change. */
export interface Bell {
  /** Notifies after the running transaction has committed, or at once where there is none. A notification may be lost. */
  readonly ring: Effect.Effect<void>
  /** Completed by the next ring. Take it, read, then await it: no ring of this process is missed in between. */
  readonly next: Effect.Effect<Deferred.Deferred<void>>
  /** Opens the latch at each ring, until the scope closes. */
  readonly opens: (latch: Latch.Latch) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Until the scope closes, rings of this process do not leave it: no other instance does the work that they announce. It
   * saves a statement for each ring.
   */
  readonly claim: Effect.Effect<void, never, Scope.Scope>
}

/**
 * A module's own database: what the `SqlClient` that comes with it lacks, so that a module runs unchanged on the embedded
 * database and on PostgreSQL.
 */
export class Database extends Context.Service<
  Database,
  {
    /**
     * Runs `work` in a transaction, or in the one that is running. A failure rolls back. A failed BEGIN or COMMIT is a
     * defect, an `SqlError`.
     */
    readonly transaction: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

    /**
     * In the running transaction, sets the lock time-out to 3 s; the default is 1 s. For background work, such as a
     * reaction, on rows with much contention.
     */
    readonly patient: Effect.Effect<void>

    /**
     * Batches concurrent calls of a frequent use case: while `many` runs, further inputs are collected for its next run; a
     * single call runs at once. `many` returns an output for each input, in order, after its commit, and is best a single
     * statement. For failures see `coalesce.ts`.
     */
    readonly coalesce: <Input, Output>(
      many: (inputs: ReadonlyArray<Input>) => Effect.Effect<ReadonlyArray<Output>, SqlError.SqlError>,
    ) => Effect.Effect<(input: Input) => Effect.Effect<Output>, never, Scope.Scope>

    /**
     * A client that one holder at a time has, over all instances of the module, by a lock that ends with the holder. Waits
     * for it. When its connection is lost, every later statement fails: acquire it again.
     */
    readonly exclusive: Effect.Effect<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope>

    /**
     * Runs a migration, on a client of its own without the usual time-outs, in one instance at a time; the others wait.
     */
    readonly upgrading: <A, E, R>(
      work: Effect.Effect<A, E, R>,
    ) => Effect.Effect<A, E | SqlError.SqlError, Exclude<R, SqlClient.SqlClient>>

    /** The bell of that name. */
    readonly bell: (name: string) => Bell

    /** Succeeds when the database responds. */
    readonly probe: Effect.Effect<void, DatabaseUnavailable>

    /** Fails while nothing may be written, as on a disk that is nearly full. Free of cost; use it before each write. */
    readonly writable: Effect.Effect<void, DatabaseUnavailable>
  }
>()("galleria/Database") {}

/** The database rejects this process, or another process has it exclusively. Not retriable. */
export class DatabaseRefused extends Schema.TaggedError<DatabaseRefused>()("DatabaseRefused", {
  module: Schema.String,
  database: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the database of ${this.module}, ${this.database}, cannot be used: ${this.reason}`
  }
}

/** The databases of the modules: one for each, or a schema for each in a shared one. */
export class Databases extends Context.Service<
  Databases,
  {
    readonly of: (module: string) => Layer.Layer<Database | SqlClient.SqlClient, SqlError.SqlError | DatabaseRefused>
  }
>()("galleria/Databases") {}
