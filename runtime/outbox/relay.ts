import { Effect, Exit, Fiber, Latch, Schema, Scope } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { encode } from "../events/cloudEvents.ts"
import { EventBus } from "../events/EventBus.ts"
import { loop } from "../loop/loop.ts"
import { publishing } from "../telemetry/messages.ts"
import { published } from "../telemetry/metrics.ts"
import { type Bell, Database } from "../sql/Database.ts"
import { type Floor, raised, type Reading, unknown, wantsXid } from "./floor.ts"

interface Row {
  readonly seq: bigint
  readonly event_id: string
  readonly type: string
  readonly version: number
  readonly key: string
  readonly subject: string
  readonly time: string
  readonly traceparent: string | null
  readonly data: string
}

/** Rows in one send: as many as the embedded log stores without blocking requests for long. */
const limit = 500

/**
 * After a send of at least `from` rows the relay lingers before it reads again, so under load a send carries more events. A
 * send costs the event log, its consumers and their databases about as much for one event as for fifty.
 */
const linger = { from: 5, millis: 50 }

const seqs = (rows: ReadonlyArray<Row>) => [0n, ...rows.map(({ seq }) => seq)]
const ids = (rows: ReadonlyArray<Row>) => ["", ...rows.map(({ event_id }) => event_id)]

/** The event log did not acknowledge a send in time; the result is unknown, so it is sent again. */
class SentTooLate extends Schema.TaggedError<SentTooLate>()("SentTooLate", {}) {
  override get message(): string {
    return `the event log did not acknowledge a send within ${sendWithin}`
  }
}

/**
 * Deletes acknowledged rows, and reads the head above the floor without the rows in flight. Both use lists of ids, never a
 * range: a row with a smaller `seq` may be committed after a read (DELIVERY.md, *Writing and relaying*). The ids are those of
 * the events: in a database that is restored during a send, another event may have the `seq`. The measurements for the floor
 * precede the rows.
 */
const step = (sql: SqlClient.SqlClient, floor: Floor, sent: ReadonlyArray<Row>, flying: ReadonlyArray<Row>) =>
  Effect.map(
    sql<Row & Reading>`
      with gone as (delete from outbox where seq = any(${seqs(sent)}::bigint[]) and event_id = any(${ids(sent)}::text[])),
      reading as materialized (
        select case when r.file = ${floor.file}::oid and r.sequence >= ${floor.sequence} then ${floor.at} else 0::bigint end as at,
          r.*
        from (
          select pg_relation_filenode('outbox') as file, coalesce(pg_sequence_last_value('outbox_seq_seq'), 0) as sequence,
            pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
            case when ${wantsXid(floor)} then pg_current_xact_id()::text::bigint end as xid
          offset 0) r)
      select null::bigint as seq, null as event_id, null as type, null::int as version, null as key, null as subject,
        null as data, null as traceparent, null as time, at, file, sequence, xmin, xid
      from reading
      union all
      (select seq, event_id, type, version, key, subject, data, traceparent,
        to_char(time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as time, null, null, null, null, null
      from outbox where seq > (select at from reading) and event_id <> all(${[...ids(sent), ...ids(flying)]}::text[])
      order by seq limit ${limit})
      order by seq nulls first`,
    ([reading, ...rows]) => ({ floor: raised(floor, reading!, lowestOf([...rows, ...flying])), rows }),
  )

const lowestOf = (rows: ReadonlyArray<Row>) =>
  rows.reduce<bigint | undefined>((least, { seq }) => (least === undefined || seq < least ? seq : least), undefined)

/** Maximum duration of a turn, in milliseconds: a backlog takes many turns, so that the loop does not count as stalled. */
const mostMillis = 5_000

/** Time-out of a send. Together with the turn before it, it ends well before the loop counts as stalled. */
const sendWithin = "40 seconds"

/**
 * Makes the turns of a relay that sends the events of one outbox to the event log (DELIVERY.md, *Writing and relaying*): read
 * from the head, send, delete by id after the acknowledgement; one send is in flight. After a failed send the rows read ahead
 * are dropped, and the next turn starts at the head. A turn returns whether there may be more; turns share the floor.
 */
export const relayTurn = (
  sql: SqlClient.SqlClient,
  bus: Pick<EventBus["Service"], "send">,
  source: string,
  turnMillis = mostMillis,
) => {
  let floor = unknown
  const read = (sent: ReadonlyArray<Row>, flying: ReadonlyArray<Row>) =>
    Effect.map(step(sql, floor, sent, flying), (found) => {
      floor = found.floor
      return found.rows
    })
  const send = (rows: ReadonlyArray<Row>) =>
    Effect.timeoutOrElse(bus.send(rows.map((row) => encode({ ...row, id: row.event_id, source }))), {
      duration: sendWithin,
      orElse: () => new SentTooLate({}),
    })
  return Effect.gen(function* () {
    const began = performance.now()
    let sent: ReadonlyArray<Row> = []
    let rows = yield* read([], [])
    while (rows.length > 0 && performance.now() - began < turnMillis) {
      if (rows.length < limit) {
        yield* send(rows)
        if (rows.length >= linger.from) yield* Effect.sleep(linger.millis)
        rows = yield* read([...sent, ...rows], [])
        sent = []
      } else {
        const [next] = yield* Effect.all([read(sent, rows), send(rows)], { concurrency: 2 })
        sent = rows
        rows = next
      }
    }
    if (sent.length > 0) yield* read(sent, [])
    return rows.length > 0
  })
}

/** Maximum duration of a turn that waits to take over: the loop keeps turning, and reports no fault. */
const waitPerTurn = "2 seconds"

interface Session {
  readonly turn: ReturnType<typeof relayTurn>
  readonly scope: Scope.Closeable
}

/** Relays for a module until interrupted: in one instance at a time, woken by the outbox, with a slow poll as fallback. */
export const relay = (options: { readonly module: string; readonly bell: Pick<Bell, "opens" | "claim"> }) =>
  Effect.gen(function* () {
    const wake = Latch.makeUnsafe(true)
    yield* options.bell.opens(wake)
    const database = yield* Database
    const bus = yield* EventBus
    const scope = yield* Effect.scope
    let session: Session | undefined
    let taking: Fiber.Fiber<Session, SqlError.SqlError> | undefined
    const { module } = options
    const source = `/galleria/${module}`
    const send: EventBus["Service"]["send"] = (records) =>
      bus.send(records).pipe(publishing(records), Effect.andThen(published({ module }, records.length)))
    const take = Effect.gen(function* () {
      const own = yield* Scope.fork(scope)
      const sql = yield* database.exclusive.pipe(
        Scope.provide(own),
        Effect.onError((cause) => Scope.close(own, Exit.failCause(cause))),
      )
      yield* Scope.provide(options.bell.claim, own)
      yield* wake.open
      return (session = { turn: relayTurn(sql, { send }, source), scope: own })
    })
    // After a failure the connection is discarded, with its lock and floor, because it may be broken.
    const leave = Effect.suspend(() => {
      const [left, waiting] = [session, taking]
      session = taking = undefined
      const waited = waiting === undefined ? Effect.void : Fiber.interrupt(waiting)
      return Effect.andThen(waited, left === undefined ? Effect.void : Scope.close(left.scope, Exit.void))
    })
    const turn = Effect.gen(function* () {
      yield* database.writable
      if (session === undefined) {
        taking ??= yield* Effect.forkIn(take, scope)
        yield* Effect.timeoutOption(Fiber.join(taking), waitPerTurn)
      }
      return session === undefined ? false : yield* session.turn
    }).pipe(Effect.onError(() => leave))
    return yield* loop({ name: `${module}.relay`, turn, wake, poll: "1 second" })
  }).pipe(Effect.scoped)
