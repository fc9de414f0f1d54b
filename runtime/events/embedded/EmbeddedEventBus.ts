import { Cause, Clock, Duration, Effect, Exit, Fiber, Latch, Layer } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { loop, Loops } from "../../module/loop.ts"
import { textOf } from "../../module/defect.ts"
import { monotonicMillis } from "../../module/monotonic.ts"
import { makeWallClockTrust } from "../../module/wallClock.ts"
import { EmbeddedPostgres } from "../../sql/embedded/EmbeddedPostgres.ts"
import {
  defaultPartitions,
  EventBus,
  EventBusError,
  type Handle,
  HandledTooLate,
  HandleWithin,
  PartitionsDiffer,
  type Received,
} from "../EventBus.ts"
import { partitionOf } from "../partition.ts"
import { restMillis } from "../rest.ts"
import { createLog } from "./createLog.ts"

interface Row {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly key: string | null
  readonly value: Uint8Array | null
  readonly headers: Record<string, string>
  readonly time: Date
}

/** Records that one turn of a member reads. */
const perTurn = 500

/** Closing waits that long for the running `handle`; then it is interrupted, and its records come again. */
const closeWithin = "4 seconds"

/** How often records whose retention has passed are removed. */
const pruneEvery = "1 minute"

/** One member of a group: `turn` handles what is due now and says whether there may be more. */
interface Member {
  readonly topics: ReadonlyArray<string>
  readonly wake: Latch.Latch
  present: boolean
  /** Its `handle` runs, or the commit after it. */
  handling: boolean
  /** Partitions whose `handle` failed, by their place. */
  readonly failing: Map<string, Failing>
  /** It was told that something fails. */
  faltering: boolean
}

/** How often in a row a partition failed by itself, and until when it rests (ms). */
interface Failing {
  readonly topic: string
  readonly partition: number
  readonly times: number
  readonly until: number
}

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
  yield* Migrator.make({})({ table: "migrations", loader: Migrator.fromRecord({ "0001_create_log": createLog }) }).pipe(
    Effect.provideService(SqlClient.SqlClient, sql),
  )
  const partitions = new Map<string, number>()
  const groups = new Map<string, { readonly members: Array<Member>; readonly busy: Set<string>; rewinds: number }>()

  const attempt = <A, R>(operation: string, work: Effect.Effect<A, SqlError.SqlError, R>) =>
    Effect.mapError(work, (cause) => new EventBusError({ operation, cause }))

  const learn = Effect.gen(function* () {
    for (const { name, count } of yield* sql<{
      name: string
      count: number
    }>`select name, partitions as count from topic`) {
      partitions.set(name, count)
    }
  })
  yield* learn

  const ensure: EventBus["Service"]["ensure"] = Effect.fnUntraced(function* (topics) {
    yield* attempt("make topics", learn)
    for (const { name, partitions: wanted } of topics) {
      const found = partitions.get(name)
      if (wanted !== undefined && found !== undefined && wanted !== found) {
        return yield* new PartitionsDiffer({ topic: name, wanted, found })
      }
    }
    const wanted = topics.map(({ name, partitions = defaultPartitions, retention }) => ({
      name,
      partitions,
      retention_ms: retention === undefined ? null : Duration.toMillis(retention),
    }))
    yield* attempt(
      "make topics",
      sql`
        with made as (
          insert into topic (name, partitions, retention_ms)
          select name, partitions, retention_ms from json_to_recordset(${JSON.stringify(wanted)}::json)
            as x (name text, partitions int, retention_ms bigint) order by name
          on conflict (name) do update set retention_ms = excluded.retention_ms
          returning name, partitions)
        insert into partition (topic, part) select name, generate_series(0, partitions - 1) from made
        on conflict do nothing`,
    )
    yield* attempt("make topics", learn)
  })

  let unkeyed = 0
  const send: EventBus["Service"]["send"] = (records) =>
    Effect.gen(function* () {
      if (records.length === 0) return
      const now = yield* Clock.currentTimeMillis
      const rows = []
      for (const [n, record] of records.entries()) {
        const count = partitions.get(record.topic)
        if (count === undefined) {
          return yield* new EventBusError({ operation: "send", cause: new Error(`there is no topic ${record.topic}`) })
        }
        rows.push({
          n,
          topic: record.topic,
          part: record.key === null ? unkeyed++ % count : partitionOf(record.key, count),
          key: record.key,
          value: record.value === null ? null : Buffer.from(record.value).toString("base64"),
          headers: record.headers,
        })
      }
      yield* attempt(
        "send",
        sql`
          with input as materialized (
            select * from json_to_recordset(${JSON.stringify(rows)}::json)
              as x (n int, topic text, part int, key text, value text, headers json)),
          moved as (
            update partition p set next = p.next + c.records
            from (select topic, part, count(*) as records from input group by topic, part) c
            where p.topic = c.topic and p.part = c.part
            returning p.topic, p.part, p.next - c.records as first)
          insert into record (topic, part, "offset", key, value, headers, time)
          select i.topic, i.part, m.first + row_number() over (partition by i.topic, i.part order by i.n) - 1,
            i.key, decode(i.value, 'base64'), i.headers, ${new Date(now)}
          from input i join moved m on m.topic = i.topic and m.part = i.part`,
      )
      const touched = new Set(records.map((record) => record.topic))
      for (const { members } of groups.values()) {
        for (const member of members) {
          if (member.topics.some((topic) => touched.has(topic))) member.wake.openUnsafe()
        }
      }
    })

  const groupOf = (name: string) => {
    const known = groups.get(name) ?? { members: [], busy: new Set<string>(), rewinds: 0 }
    groups.set(name, known)
    return known
  }

  /** Who of the members that read a topic has its partition `part`. */
  const owner = (group: string, topic: string, part: number): Member | undefined => {
    const readers = groupOf(group).members.filter((member) => member.topics.includes(topic))
    return readers[part % readers.length]
  }

  const rebalance = (group: string) =>
    groupOf(group).members.forEach((member) => {
      for (const [place, { topic, partition }] of member.failing) {
        if (owner(group, topic, partition) !== member) member.failing.delete(place)
      }
      member.wake.openUnsafe()
    })

  const read = (group: string, member: Member, now: number) => {
    const { busy } = groupOf(group)
    const isDue = (place: string) => !busy.has(place) && (member.failing.get(place)?.until ?? 0) <= now
    const mine = member.topics.flatMap((topic) =>
      Array.from({ length: partitions.get(topic) ?? 0 }, (_, part) => part)
        .filter((part) => owner(group, topic, part) === member && isDue(`${topic}/${part}`))
        .map((part) => ({ topic, part })),
    )
    // Each partition that has something gets the same share, so that none waits for another's backlog.
    return sql<Row>`
      with due as materialized (
        select p.topic, p.part, p.next from json_to_recordset(${JSON.stringify(mine)}::json) as m (topic text, part int)
        join position p on p.grp = ${group} and p.topic = m.topic and p.part = m.part
        join partition e on e.topic = m.topic and e.part = m.part and e.next > p.next)
      select r.topic, r.part as partition, r."offset", r.key, r.value, r.headers, r.time
      from due cross join lateral (
        select * from record r where r.topic = due.topic and r.part = due.part and r."offset" >= due.next
        order by r."offset" limit greatest(1, ${perTurn} / (select count(*) from due))) r
      order by r.topic, r.part, r."offset"`
  }

  const commit = (group: string, member: Member, records: ReadonlyArray<Received>) =>
    Effect.suspend(() => {
      const next = new Map<string, { topic: string; part: number; next: number }>()
      for (const { topic, partition, offset } of records) {
        if (!member.present || owner(group, topic, partition) !== member) continue
        next.set(`${topic}/${partition}`, { topic, part: partition, next: offset + 1 })
      }
      return sql`update position p set next = x.next
        from json_to_recordset(${JSON.stringify([...next.values()])}::json) as x (topic text, part int, next bigint)
        where p.grp = ${group} and p.topic = x.topic and p.part = x.part`
    })

  /** Handles what is due of one topic, and remembers what failed; true when that has to be seen again at once. */
  const take = (
    name: string,
    group: string,
    member: Member,
    handle: Handle,
    records: NonEmptyReadonlyArray<Received>,
  ) =>
    Effect.gen(function* () {
      const { busy } = groupOf(group)
      const { failing } = member
      const places = new Map(records.map((record) => [placeOf(record), record]))
      const isOurs = ([place, { topic, partition }]: readonly [string, Received]) =>
        !busy.has(place) && owner(group, topic, partition) === member
      // Another member may have got a partition since it was read.
      if (![...places].every(isOurs)) return true
      places.forEach((_, place) => busy.add(place))
      member.handling = true
      const free = Effect.sync(() => {
        member.handling = false
        for (const [place, { topic, partition }] of places) {
          busy.delete(place)
          owner(group, topic, partition)?.wake.openUnsafe()
        }
      })
      const millis = Duration.toMillis(yield* HandleWithin)
      const exit = yield* handle(records).pipe(
        Effect.timeoutOrElse({ duration: millis, orElse: () => new HandledTooLate({ millis }) }),
        Effect.andThen(commit(group, member, records)),
        Effect.ensuring(free),
        Effect.exit,
      )
      if (Exit.isSuccess(exit)) {
        for (const place of places.keys()) failing.delete(place)
        return true
      }
      // Whoever is being stopped ends here; a handle that interrupted itself has failed like any other.
      yield* Effect.yieldNow
      if (!member.faltering) {
        yield* Effect.logWarning(`${name} falters, and tries again until it can`, exit.cause)
      }
      member.faltering = true
      yield* loops.faltered(name, textOf(Cause.squash(exit.cause)).split("\n")[0])
      const now = yield* monotonicMillis
      // Of several nobody knows which is to blame, until each comes by itself.
      const isOne = places.size === 1
      for (const [place, { topic, partition }] of places) {
        const times = (failing.get(place)?.times ?? 0) + (isOne ? 1 : 0)
        const rest = isOne ? restMillis(times) : 0
        failing.set(place, { topic, partition, times, until: now + rest })
        if (isOne) yield* Effect.forkDetach(Effect.delay(member.wake.open, rest))
      }
      return !isOne
    })

  const turn = (name: string, group: string, member: Member, handle: Handle) =>
    Effect.gen(function* () {
      const { rewinds } = groupOf(group)
      const rows = yield* read(group, member, yield* monotonicMillis)
      let more = false
      for (const records of callsOf(rows, member.failing)) {
        // What was read before a rewind is not what comes next.
        if (groupOf(group).rewinds !== rewinds) return true
        more = (yield* take(name, group, member, handle, records)) || more
      }
      if (member.faltering && member.failing.size === 0) {
        member.faltering = false
        yield* loops.faltered(name, undefined)
        yield* Effect.logInfo(`${name} goes on`)
      }
      return more
    })

  const consume: EventBus["Service"]["consume"] = Effect.fnUntraced(function* ({ group, topics, handle }) {
    yield* attempt("learn of the topics", learn)
    yield* attempt(
      "join the group",
      sql`insert into position (grp, topic, part, next)
        select ${group}, p.topic, p.part, coalesce((select min("offset") from record r where r.topic = p.topic and r.part = p.part), p.next)
        from partition p where p.topic in (select json_array_elements_text(${JSON.stringify(topics)}::json))
        on conflict do nothing`,
    )
    const member: Member = {
      topics,
      wake: Latch.makeUnsafe(true),
      present: true,
      handling: false,
      failing: new Map(),
      faltering: false,
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        groupOf(group).members.push(member)
        rebalance(group)
      }),
      () =>
        Effect.sync(() => {
          const { members } = groupOf(group)
          member.present = false
          members.splice(members.indexOf(member), 1)
          rebalance(group)
        }),
    )
    const name = `${group}.consumer`
    let over = false
    const reading = yield* loop({
      name,
      turn: turn(name, group, member, handle),
      wake: member.wake,
      poll: "5 seconds",
      isOver: () => over,
    }).pipe(Effect.provideService(Loops, loops), Effect.forkDetach)
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        over = true
        yield* member.wake.open
        if (member.handling) yield* Effect.timeoutOption(Fiber.await(reading), closeWithin)
        yield* Fiber.interrupt(reading)
      }),
    )
  })

  const rewind: EventBus["Service"]["rewind"] = ({ group, topic, from, meanwhile }) => {
    const { busy } = groupOf(group)
    const places = Array.from({ length: partitions.get(topic) ?? 0 }, (_, part) => `${topic}/${part}`)
    const tryTake = Effect.sync(() => {
      if (places.some((place) => busy.has(place))) return false
      places.forEach((place) => busy.add(place))
      groupOf(group).rewinds++
      return true
    })
    const take = Effect.gen(function* () {
      while (!(yield* tryTake)) yield* Effect.sleep("5 millis")
    })
    const free = Effect.sync(() => {
      places.forEach((place) => busy.delete(place))
      rebalance(group)
    })
    const move = attempt(
      "rewind",
      sql`
        update position p set next = coalesce(
          (select min(r."offset") from record r where r.topic = p.topic and r.part = p.part
            and r.time >= ${new Date(from ?? 0)}),
          (select e.next from partition e where e.topic = p.topic and e.part = p.part))
        where p.grp = ${group} and p.topic = ${topic}`,
    )
    return Effect.acquireUseRelease(
      take,
      () => Effect.andThen(meanwhile, move),
      () => free,
    ).pipe(Effect.asVoid)
  }

  const lag: EventBus["Service"]["lag"] = (group) =>
    Effect.map(
      attempt(
        "tell the lag",
        sql<{ topic: string; partition: number; records: bigint }>`
          select p.topic, p.part as partition, e.next - p.next as records
          from position p join partition e on e.topic = p.topic and e.part = p.part
          where p.grp = ${group} order by p.topic, p.part`,
      ),
      (rows) => rows.map((row) => ({ ...row, records: Number(row.records) })),
    )

  const ends: EventBus["Service"]["ends"] = (topics) =>
    Effect.map(
      attempt(
        "tell where topics end",
        sql<{ topic: string; partition: number; first: bigint; next: bigint }>`
          select p.topic, p.part as partition, p.next,
            coalesce((select min(r."offset") from record r where r.topic = p.topic and r.part = p.part), p.next) as first
          from partition p
          where p.topic in (select json_array_elements_text(${JSON.stringify(topics)}::json)) order by p.topic, p.part`,
      ),
      (rows) => rows.map((row) => ({ ...row, first: Number(row.first), next: Number(row.next) })),
    )

  const prune = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* sql`
      delete from record r using topic t
      where t.name = r.topic and t.retention_ms is not null
        and r.time < ${new Date(now)}::timestamptz - t.retention_ms * interval '1 millisecond'
        and r."offset" < coalesce((select min(p.next) from position p where p.topic = r.topic and p.part = r.part), r."offset" + 1)`
    return false
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
      ensure,
      send,
      consume,
      rewind,
      lag,
      ends,
      probe: attempt("answer", Effect.asVoid(sql`select 1`)),
    }),
    prune: Effect.asVoid(prune),
  }
})

const placeOf = ({ topic, partition }: { readonly topic: string; readonly partition: number }) =>
  `${topic}/${partition}`

/**
 * Rows in order of topic, partition and offset become one call for each topic, but for what has failed: that becomes
 * one for each partition.
 */
const callsOf = (
  rows: ReadonlyArray<Row>,
  failing: ReadonlyMap<string, Failing>,
): ReadonlyArray<NonEmptyReadonlyArray<Received>> => {
  const lists = new Map<string, [Received, ...Array<Received>]>()
  for (const row of rows) {
    const record: Received = { ...row, offset: Number(row.offset), time: row.time.getTime() }
    const name = failing.has(placeOf(record)) ? placeOf(record) : record.topic
    const list = lists.get(name)
    if (list === undefined) lists.set(name, [record])
    else list.push(record)
  }
  return [...lists.values()]
}

export const layer = Layer.effect(
  EventBus,
  Effect.map(make, ({ bus }) => bus),
)
