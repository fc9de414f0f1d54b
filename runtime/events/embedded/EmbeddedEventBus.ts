import { Clock, Duration, Effect, Latch, Layer } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { loop, Loops } from "../../loop/loop.ts"
import { makeWallClockTrust } from "../../loop/wallClock.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"
import {
  defaultPartitions,
  EventBus,
  EventBusError,
  type ReadResult,
  type Outgoing,
  partitionName,
  PartitionsDiffer,
  type ReadRequest,
} from "../EventBus.ts"
import { partitionOf } from "../partition.ts"
import { createLog, keepFirst, nameLog } from "./createLog.ts"
import { type Groups, makeGroups } from "./group.ts"
import { logTable, type LogTable, receivedOf } from "./logTable.ts"
import { join, type EmbeddedMember } from "./member.ts"

/** Between two removals of records whose retention has passed. */
const pruneEvery = "1 minute"

/** Records that one statement removes. Requests wait meanwhile. */
const perPrune = 1_000

const attempt = <A, R>(operation: string, work: Effect.Effect<A, SqlError.SqlError, R>) =>
  Effect.mapError(work, (cause) => new EventBusError({ operation, cause }))

/**
 * The event log in tables of the embedded database: records by topic and partition, and the position of each group.
 *
 * Positions are committed after `handle`, in a transaction of their own, and a member that has lost a partition meanwhile
 * does not commit: as on Kafka, a crash in between brings the records again. One process has the log, so the members of a
 * group are those of this process.
 *
 * `prune` removes all records that are due, as the loop in the background does once a minute.
 */
export const make = Effect.gen(function* () {
  const postgres = yield* EmbeddedPostgres
  const sql = yield* postgres.client("events")
  const loops = yield* Loops
  yield* migrate(sql)
  const table = logTable(sql)
  const topics = yield* topicsIn(table)
  const groups = makeGroups<EmbeddedMember>()
  const { ends, ...queries } = queriesOn(table)

  const consume: EventBus["Service"]["consume"] = (options) =>
    Effect.gen(function* () {
      yield* attempt("list topics", topics.refresh)
      yield* join({ table, counts: topics.counts, ends }, groups.of(options.group), options)
    }).pipe(Effect.provideService(Loops, loops))

  const prune = pruneOnce(table)
  const trusted = yield* makeWallClockTrust
  yield* loop({
    name: "events.prune",
    turn: Effect.gen(function* () {
      yield* postgres.writable
      return (yield* trusted) ? yield* prune : false
    }),
    wake: Latch.makeUnsafe(false),
    poll: pruneEvery,
  }).pipe(Effect.forkScoped)

  return {
    bus: EventBus.of({
      ensure: topics.ensure,
      send: sendBy(table, topics.place, groups),
      consume,
      ends,
      ...queries,
      probe: attempt("respond", Effect.asVoid(sql`select 1`)),
    }),
    prune: Effect.asVoid(Effect.repeat(prune, { while: (more) => more })),
  }
})

const migrate = (sql: SqlClient.SqlClient) => {
  const loader = Migrator.fromRecord({
    "0001_create_log": createLog,
    "0002_keep_first": keepFirst,
    "0003_name_log": nameLog,
  })
  return Migrator.make({})({ table: "migrations", loader }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
}

/** Removes records of one partition whose retention has passed; true when there may be more. */
const pruneOnce = (table: LogTable) =>
  Effect.gen(function* () {
    const pruned = yield* table.prune(new Date(yield* Clock.currentTimeMillis), perPrune)
    return pruned.length > 0
  })

/** Appends records, and wakes the members that read their topics. */
const sendBy =
  (table: LogTable, place: Topics["place"], groups: Groups<EmbeddedMember>): EventBus["Service"]["send"] =>
  (records) =>
    Effect.gen(function* () {
      if (records.length === 0) return
      const rows = yield* place(records)
      yield* attempt("send", table.append(rows, new Date(yield* Clock.currentTimeMillis)))
      const touched = new Set(records.map((record) => record.topic))
      for (const member of groups.members()) {
        if (member.topics.some((topic) => touched.has(topic))) member.wake.openUnsafe()
      }
    })

/** The queries of the port. */
const queriesOn = (
  table: LogTable,
): Pick<EventBus["Service"], "ends" | "since" | "read" | "lag" | "retentions" | "identity"> => ({
  ends: (names) =>
    Effect.map(attempt("read the ends of topics", table.ends(names)), (rows) =>
      rows.map((row) => ({ ...row, first: Number(row.first), next: Number(row.next) })),
    ),
  since: (topic, time) =>
    Effect.map(attempt("find offsets by time", table.since(topic, new Date(time))), (rows) =>
      rows.map((row) => ({ ...row, next: Number(row.next) })),
    ),
  read: (reading) =>
    Effect.timeoutOrElse(readFrom(table, reading), {
      duration: reading.within,
      orElse: () => new EventBusError({ operation: "read records", cause: new Error("no answer in time") }),
    }),
  lag: (group) =>
    Effect.map(attempt("read the lag", table.lag(group)), (rows) =>
      rows.map((row) => ({ ...row, records: Number(row.records) })),
    ),
  retentions: (names) =>
    Effect.map(attempt("read retentions", table.retentions(names)), (rows) =>
      rows.map(({ topic, millis }) => ({
        topic,
        retention: millis === null ? undefined : Duration.millis(Number(millis)),
        sooner: undefined,
      })),
    ),
  identity: Effect.map(attempt("read the identity of the log", table.identity), ([row]) => `embedded:${row!.id}`),
})

/** Reads a part of a partition. */
const readFrom = (table: LogTable, reading: ReadRequest) =>
  Effect.gen(function* () {
    const { topic, partition, from, max } = reading
    const ends = yield* table.ends([topic])
    const kept = ends.find((end) => end.partition === partition)
    if (kept === undefined) {
      const cause = new Error(`there is no partition ${partitionName(reading)}`)
      return yield* new EventBusError({ operation: "read records", cause })
    }
    const [first, end] = [Number(kept.first), Number(kept.next)]
    const [sought] = "time" in from ? yield* table.seek(reading, new Date(from.time)) : []
    const start = "offset" in from ? Math.max(first, Math.min(from.offset, end)) : Number(sought?.next ?? end)
    const records = (yield* table.read([{ topic, partition, next: start }], max)).map(receivedOf)
    const next = (records.at(-1)?.offset ?? start - 1) + 1
    return { records, next, end: Math.max(end, next) } satisfies ReadResult
  }).pipe(Effect.catchTag("SqlError", (cause) => new EventBusError({ operation: "read records", cause })))

type Topics = Effect.Success<ReturnType<typeof topicsIn>>

/** The topics of the log, and how many partitions each has, as this process has read them. */
const topicsIn = (table: LogTable) =>
  Effect.gen(function* () {
    const counts = new Map<string, number>()
    const refresh = Effect.map(table.topics, (rows) => rows.forEach(({ name, count }) => counts.set(name, count)))
    yield* refresh

    const ensure: EventBus["Service"]["ensure"] = Effect.fnUntraced(function* (wanted) {
      yield* attempt("create topics", refresh)
      for (const { name, partitions } of wanted) {
        const found = counts.get(name)
        if (partitions !== undefined && found !== undefined && partitions !== found) {
          return yield* new PartitionsDiffer({ topic: name, wanted: partitions, found })
        }
      }
      const rows = wanted.map(({ name, partitions = defaultPartitions, retention }) => ({
        name,
        partitions,
        retention_ms: retention === undefined ? null : Duration.toMillis(retention),
      }))
      yield* attempt("create topics", Effect.andThen(table.makeTopics(rows), refresh))
    })

    let unkeyed = 0
    /** Records as rows, each with its partition; those without a key go to the partitions in turn. */
    const place = (records: ReadonlyArray<Outgoing>) =>
      Effect.forEach(records, ({ topic, key, value, headers }, n) => {
        const count = counts.get(topic)
        if (count === undefined) {
          return Effect.fail(new EventBusError({ operation: "send", cause: new Error(`there is no topic ${topic}`) }))
        }
        const part = key === null ? unkeyed++ % count : partitionOf(key, count)
        const text = value === null ? null : Buffer.from(value).toString("base64")
        return Effect.succeed({ n, topic, part, key, value: text, headers })
      })

    return { counts, refresh, ensure, place }
  })

export const layer = Layer.effect(
  EventBus,
  Effect.map(make, ({ bus }) => bus),
)
