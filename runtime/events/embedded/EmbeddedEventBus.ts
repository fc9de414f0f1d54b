import { Clock, Duration, Effect, Latch, Layer } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { loop, Loops } from "../../loop/loop.ts"
import { makeWallClockTrust } from "../../loop/wallClock.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"
import { defaultPartitions, EventBus, EventBusError, type Outgoing, PartitionsDiffer } from "../EventBus.ts"
import { partitionOf } from "../partition.ts"
import { createLog, keepFirst, nameLog } from "./createLog.ts"
import type { Group } from "./group.ts"
import { logTable, type LogTable } from "./logTable.ts"
import { join, type Member } from "./member.ts"

/** How often records whose retention has passed are removed. */
const pruneEvery = "1 minute"

/** Records that one statement removes, so that requests get their turn. */
const perPrune = 1_000

const attempt = <A, R>(operation: string, work: Effect.Effect<A, SqlError.SqlError, R>) =>
  Effect.mapError(work, (cause) => new EventBusError({ operation, cause }))

/**
 * The event log in tables of the embedded database: records by topic and partition, and the position of each group.
 *
 * It fails the way Kafka fails. Positions are committed after `handle`, in a transaction of their own, so a crash in
 * between brings the records again; a member that lost a partition while it was busy has its commit refused.
 * One process holds it, so the members of a group are those of this process.
 */
export const make = Effect.gen(function* () {
  const postgres = yield* EmbeddedPostgres
  const sql = yield* postgres.client("events")
  const loops = yield* Loops
  const loader = Migrator.fromRecord({
    "0001_create_log": createLog,
    "0002_keep_first": keepFirst,
    "0003_name_log": nameLog,
  })
  yield* Migrator.make({})({ table: "migrations", loader }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
  const table = logTable(sql)
  const topics = yield* topicsIn(table)
  const groups = new Map<string, Group<Member>>()
  const groupOf = (name: string) => {
    const known = groups.get(name) ?? { members: [], busy: new Set<string>() }
    groups.set(name, known)
    return known
  }

  const send: EventBus["Service"]["send"] = (records) =>
    Effect.gen(function* () {
      if (records.length === 0) return
      const rows = yield* topics.place(records)
      yield* attempt("send", table.append(rows, new Date(yield* Clock.currentTimeMillis)))
      const touched = new Set(records.map((record) => record.topic))
      for (const { members } of groups.values()) {
        for (const member of members) if (member.topics.some((topic) => touched.has(topic))) member.wake.openUnsafe()
      }
    })

  const ends: EventBus["Service"]["ends"] = (names) =>
    Effect.map(attempt("tell where topics end", table.ends(names)), (rows) =>
      rows.map((row) => ({ ...row, first: Number(row.first), next: Number(row.next) })),
    )

  const consume: EventBus["Service"]["consume"] = (options) =>
    Effect.gen(function* () {
      yield* attempt("learn of the topics", topics.learn)
      yield* join({ table, counts: topics.counts, ends }, groupOf(options.group), options)
    }).pipe(Effect.provideService(Loops, loops))

  /** One step; says whether there may be more. */
  const prune = Effect.gen(function* () {
    const pruned = yield* table.prune(new Date(yield* Clock.currentTimeMillis), perPrune)
    return pruned.length > 0
  })
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
      send,
      consume,
      ends,
      since: (topic, time) =>
        Effect.map(attempt("look for a time", table.since(topic, new Date(time))), (rows) =>
          rows.map((row) => ({ ...row, next: Number(row.next) })),
        ),
      lag: (group) =>
        Effect.map(attempt("tell the lag", table.lag(group)), (rows) =>
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
      identity: Effect.map(attempt("read the name of the log", table.identity), ([row]) => `embedded:${row!.id}`),
      probe: attempt("answer", Effect.asVoid(sql`select 1`)),
    }),
    prune: Effect.asVoid(Effect.repeat(prune, { while: (more) => more })),
  }
})

/** The topics that there are, as this process knows them. */
const topicsIn = (table: LogTable) =>
  Effect.gen(function* () {
    const counts = new Map<string, number>()
    const learn = Effect.map(table.topics, (rows) => rows.forEach(({ name, count }) => counts.set(name, count)))
    yield* learn

    const ensure: EventBus["Service"]["ensure"] = Effect.fnUntraced(function* (wanted) {
      yield* attempt("make topics", learn)
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
      yield* attempt("make topics", Effect.andThen(table.makeTopics(rows), learn))
    })

    let unkeyed = 0
    /** Records as rows, each with its partition; those without a key take turns. */
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

    return { counts, learn, ensure, place }
  })

export const layer = Layer.effect(
  EventBus,
  Effect.map(make, ({ bus }) => bus),
)
