import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { EventBus } from "../events/EventBus.ts"

/**
 * The database of a module belongs to another event log than this process uses: its outbox would be sent to the wrong
 * log, and its positions mean nothing there.
 */
export class OtherLog extends Schema.TaggedError<OtherLog>()("OtherLog", {
  module: Schema.String,
  bound: Schema.String,
  found: Schema.String,
}) {
  override get message(): string {
    return (
      `the database of ${this.module} belongs to the event log ${this.bound}, not to ${this.found}: its events would go to ` +
      "the wrong log. Set KAFKA_BOOTSTRAP_SERVERS or DATA_DIR to the former log. To move the module to another log on " +
      "purpose, stop all its processes, let the new log have what the module has not read, and run " +
      `in its database: delete from "${this.module}".event_log; delete from "${this.module}".position;`
    )
  }
}

/**
 * Binds the database of a module to the event log that it is first used with. Fails with `OtherLog` when it is bound to
 * another one. Before it succeeds, no event may be relayed from this database or taken charge of in it.
 */
export const bindLog = (module: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const bus = yield* EventBus
    const found = yield* bus.identity
    yield* sql`insert into event_log (identity) values (${found}) on conflict do nothing`
    const [row] = yield* sql<{ identity: string }>`select identity from event_log`
    if (row!.identity !== found) return yield* new OtherLog({ module, bound: row!.identity, found })
  })
