import { Context, type Deferred, type Effect, type Latch, type Layer, Schema, type Scope } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** The database is away, or must not be written to for now. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  reason: Schema.String,
}) {
  override get message(): string {
    return this.reason
  }
}

/** Tells everybody who waits, in every instance of the module, that something changed. */
export interface Bell {
  /** Rings after the running transaction has committed, or at once where there is none. A ring may be lost. */
  readonly ring: Effect.Effect<void>
  /** Take it before looking, look, then await it: no ring in between is missed within the process. */
  readonly next: Effect.Effect<Deferred.Deferred<void>>
  /** Opens the latch at each ring, until the scope closes. */
  readonly opens: (latch: Latch.Latch) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * A module's own database, beyond the plain `SqlClient` that comes with it: words for what belongs to a session or
 * to the process, so that a module runs unchanged on the embedded database and on PostgreSQL.
 */
export class Database extends Context.Service<
  Database,
  {
    /**
     * Runs `work` in a transaction, or in the one that runs already. What fails rolls back. Begin and commit that
     * fail are defects with an `SqlError` in them, as every statement's failure is that nobody can act on.
     */
    readonly transaction: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

    /**
     * In the running transaction: waits up to 3 s for a lock from now on, where else a second is the most. For work that
     * nobody waits for, as a reaction's, on rows that very many transactions want.
     */
    readonly patient: Effect.Effect<void>

    /**
     * Lets concurrent callers travel together, for a use case that is called often: while one run of `many` is under
     * way the next callers gather; alone a caller goes at once. `many` answers each of its inputs, in order, after its
     * commit, which is one statement's at best. See `coalesce.ts` for what happens when it fails.
     */
    readonly coalesce: <Input, Output>(
      many: (inputs: ReadonlyArray<Input>) => Effect.Effect<ReadonlyArray<Output>, SqlError.SqlError>,
    ) => Effect.Effect<(input: Input) => Effect.Effect<Output>, never, Scope.Scope>

    /**
     * A client that belongs to one holder at a time over all instances of the module, by a lock that is gone when the
     * holder is. Waits for it. When its connection dies, every later statement fails: acquire it again.
     */
    readonly exclusive: Effect.Effect<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope>

    /**
     * Runs what changes the shape of the database, on a client of its own that is not held to the time of daily work.
     * Of all instances one at a time does, and the others wait.
     */
    readonly upgrading: <A, E, R>(
      work: Effect.Effect<A, E, R>,
    ) => Effect.Effect<A, E | SqlError.SqlError, Exclude<R, SqlClient.SqlClient>>

    /** The bell of that name. */
    readonly bell: (name: string) => Bell

    /** Succeeds when the database answers. */
    readonly probe: Effect.Effect<void, DatabaseUnavailable>

    /** Fails while nothing may be written, as on a disk that is nearly full. Costs nothing; ask before each write. */
    readonly writable: Effect.Effect<void, DatabaseUnavailable>
  }
>()("galleria/Database") {}

/** Another process works on the database alone, or this one is not let in: to wait would not help. */
export class DatabaseRefused extends Schema.TaggedError<DatabaseRefused>()("DatabaseRefused", {
  module: Schema.String,
  database: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `the database of ${this.module}, ${this.database}, cannot be used: ${this.reason}`
  }
}

/** Where modules get their databases: each its own, or a schema of its own in one that several share. */
export class Databases extends Context.Service<
  Databases,
  {
    readonly of: (module: string) => Layer.Layer<Database | SqlClient.SqlClient, SqlError.SqlError | DatabaseRefused>
  }
>()("galleria/Databases") {}
