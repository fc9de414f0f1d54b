import { Effect, type Latch, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import {
  type End,
  type EventBusError,
  type Lag,
  type Partition,
  type Position,
  PositionMoved,
  type Positions,
  type Received,
  type Span,
} from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { recordsLost } from "../telemetry/metrics.ts"

/** The start of a reaction that sees nothing for now: beyond every offset. */
export const never = Number.MAX_SAFE_INTEGER

const placeOf = ({ topic, partition }: Partition) => `${topic}/${partition}`

/** A position as it is kept; `epoch` counts how often it was moved otherwise than by handling. */
interface Kept extends Position {
  readonly epoch: number
}

/** How long an end that is before the position is looked at again: after a fail-over Kafka may report it late. */
const soon = Schedule.max([Schedule.spaced("1 second"), Schedule.recurs(5)])

/** What a log that does not reach back, or forward, to a position means for it. */
type Loss =
  | { readonly _tag: "None" }
  | { readonly _tag: "Pruned"; readonly records: number }
  | { readonly _tag: "Beyond" }

export const lossOf = (position: Position | undefined, end: End): Loss => {
  if (position === undefined) return { _tag: "None" }
  if (position.next > end.next) return { _tag: "Beyond" }
  return position.next < end.first ? { _tag: "Pruned", records: end.first - position.next } : { _tag: "None" }
}

/**
 * Where a module reads on, kept in its own database (DELIVERY.md §3): a position moves in the transaction of the inbox
 * rows, so that a database that is restored to an earlier state takes the events since then again.
 *
 * `begin` is asked when a member is given partitions. A position that the log does not have any more, or not yet, is an
 * error: records are lost, and reading goes on with the oldest one there is.
 */
export const makePositions = (options: {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly moved: Latch.Latch
}) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const { module, reactions } = options
    const epochs = new Map<string, number>()
    const starts = new Map<string, number>()
    let lost: string | undefined

    const keptOf = (partitions: ReadonlyArray<Partition>, lock = sql``) =>
      Effect.map(
        sql<{ topic: string; partition: number; next: bigint; epoch: bigint }>`
          select p.topic, p.partition, p.next, p.epoch from position p
          join json_to_recordset(${JSON.stringify(partitions)}::json) as x (topic text, partition int)
            on p.topic = x.topic and p.partition = x.partition
          order by p.topic, p.partition ${lock}`,
        (rows) => rows.map((row): Kept => ({ ...row, next: Number(row.next), epoch: Number(row.epoch) })),
      )

    /** Reads the positions first: what a member has just finished is then before the ends. */
    const look = (partitions: ReadonlyArray<Partition>, ends: Effect.Effect<ReadonlyArray<End>, EventBusError>) =>
      Effect.gen(function* () {
        const before = new Map((yield* keptOf(partitions)).map((kept) => [placeOf(kept), kept]))
        const found = new Map((yield* ends).map((end) => [placeOf(end), end]))
        return partitions.flatMap((partition) => {
          const end = found.get(placeOf(partition))
          if (end === undefined) return []
          const kept = before.get(placeOf(partition))
          return [{ ...partition, kept, end, loss: lossOf(kept, end) }]
        })
      })

    type Looked = Effect.Success<ReturnType<typeof look>>[number]

    const report = ({ topic, partition, kept, end, loss }: Looked) =>
      Effect.gen(function* () {
        if (loss._tag === "None") return
        const place = `${topic}/${partition}`
        lost =
          loss._tag === "Pruned"
            ? `${loss.records} records of ${place} were pruned before this module had read them`
            : `the log of ${place} ends at ${end.next}, before position ${kept!.next}: records are lost`
        yield* recordsLost({ module, topic }, loss._tag === "Pruned" ? loss.records : kept!.next - end.next)
        yield* Effect.logError(`${lost}; reading goes on at ${end.first}`)
      })

    /** Gives each reaction its start in partitions, and each partition its position. */
    const settle = (looked: ReadonlyArray<Looked>) =>
      database.transaction(
        Effect.gen(function* () {
          const rows = looked.map(({ topic, partition, end, kept, loss }) => ({
            topic,
            partition,
            first: end.first,
            next: kept?.next ?? end.first,
            loss: loss._tag,
          }))
          yield* sql`
            insert into position (topic, partition, next)
            select topic, partition, first from json_to_recordset(${JSON.stringify(rows)}::json)
              as x (topic text, partition int, first bigint) order by topic, partition
            on conflict do nothing`
          const kept = yield* keptOf(looked, sql`for update of p`)
          // Where the log is another one than before, no start of before means anything.
          yield* sql`
            with lost as (
              update position p set next = x.first, epoch = p.epoch + 1
              from json_to_recordset(${JSON.stringify(rows.filter(({ loss }) => loss !== "None"))}::json)
                as x (topic text, partition int, first bigint, next bigint, loss text)
              where p.topic = x.topic and p.partition = x.partition and p.next = x.next
              returning p.topic, p.partition, x.loss)
            update reaction_start s set start_at = 0 from lost
            where s.topic = lost.topic and s.partition = lost.partition and lost.loss = 'Beyond' and s.start_at < ${never}`
          yield* startReactions(looked, kept)
          return yield* keptOf(looked)
        }),
      )

    /**
     * A reaction that is new where the module has read before starts with what comes next, or, when it has to know the
     * history, with the oldest record: the position goes back, and all other reactions skip what they have seen.
     */
    const startReactions = (looked: ReadonlyArray<Looked>, kept: ReadonlyArray<Kept>) =>
      Effect.gen(function* () {
        const isNewPartition = new Map(looked.map((one) => [placeOf(one), one.kept === undefined]))
        const wanted = kept.flatMap(({ topic, partition, next }) =>
          reactions
            .filter(({ event }) => event.type === topic)
            .map(({ name, hasHistory }) => {
              const isNew = isNewPartition.get(placeOf({ topic, partition })) === true
              return { reaction: name, topic, partition, start_at: isNew || hasHistory ? 0 : next }
            }),
        )
        const added = yield* sql<{ reaction: string; topic: string; partition: number; start_at: bigint }>`
          insert into reaction_start (reaction, topic, partition, start_at)
          select reaction, topic, partition, start_at from json_to_recordset(${JSON.stringify(wanted)}::json)
            as x (reaction text, topic text, partition int, start_at bigint)
          order by reaction, topic, partition on conflict do nothing
          returning reaction, topic, partition, start_at`
        const back = added.filter((row) => row.start_at === 0n && isNewPartition.get(placeOf(row)) === false)
        for (const { topic, partition, reaction } of back) {
          const first = looked.find((one) => one.topic === topic && one.partition === partition)!.end.first
          yield* moveBack(sql, { reaction, positions: [{ topic, partition, next: first }] })
        }
      })

    const remember = (kept: ReadonlyArray<Kept>) =>
      Effect.gen(function* () {
        for (const one of kept) epochs.set(placeOf(one), one.epoch)
        const rows = yield* sql<{ reaction: string; topic: string; partition: number; start_at: bigint }>`
          select reaction, topic, partition, start_at from reaction_start`
        starts.clear()
        for (const row of rows) starts.set(`${row.reaction} ${placeOf(row)}`, Number(row.start_at))
        return kept
      })

    const begin: Positions["begin"] = (partitions, ends) =>
      Effect.gen(function* () {
        const looked = yield* Effect.repeat(look(partitions, ends), {
          until: (all) => all.every(({ loss }) => loss._tag !== "Beyond"),
          schedule: soon,
          times: 5,
        }).pipe(Effect.andThen(look(partitions, ends)))
        for (const one of looked) yield* report(one)
        return yield* Effect.flatMap(settle(looked), remember)
      })

    /** Moves positions in the running transaction; fails when one was moved back, or belongs to another member by now. */
    const advance = (spans: ReadonlyArray<Span>) =>
      Effect.gen(function* () {
        if (spans.length === 0) return
        const rows = spans.map((span) => ({ ...span, epoch: epochs.get(placeOf(span)) ?? -1 }))
        const moved = yield* sql<Partition>`
          update position p set next = greatest(p.next, x.next)
          from json_to_recordset(${JSON.stringify(rows)}::json)
            as x (topic text, partition int, "from" bigint, next bigint, epoch bigint)
          where p.topic = x.topic and p.partition = x.partition and p.next >= x."from" and p.epoch = x.epoch
          returning p.topic, p.partition`
        const done = new Set(moved.map(placeOf))
        const refused = spans.find((span) => !done.has(placeOf(span)))
        if (refused !== undefined) return yield* new PositionMoved(refused)
      })

    return {
      begin,
      pass: advance,
      moved: options.moved,
      advance,
      /** Whether a reaction is to see a record. */
      isDue: ({ name }: Reaction<never>, record: Received) =>
        record.offset >= (starts.get(`${name} ${placeOf(record)}`) ?? 0),
      /** Records that the module has still to read, by the kept positions. */
      lag: (ends: ReadonlyArray<End>) =>
        Effect.map(keptOf(ends), (kept) => {
          const next = new Map(kept.map((one) => [placeOf(one), one.next]))
          return ends.map(({ topic, partition, first, next: end }): Lag => {
            const at = Math.max(next.get(placeOf({ topic, partition })) ?? first, first)
            return { topic, partition, records: Math.max(0, end - at) }
          })
        }),
      /** What was lost since this process started; undefined when nothing was. */
      lost: Effect.sync(() => lost),
    }
  })

export type ModulePositions = Effect.Success<ReturnType<typeof makePositions>>

/**
 * Lets one reaction see records again from these positions on, in the running transaction: the module's position goes
 * back, and all other reactions to the topic skip what they have seen. Members of before are refused by the epoch.
 */
export const moveBack = (
  sql: SqlClient.SqlClient,
  { reaction, positions }: { readonly reaction: string; readonly positions: ReadonlyArray<Position> },
) => {
  const rows = JSON.stringify(positions)
  return sql`
    with target as (
      select * from json_to_recordset(${rows}::json) as x (topic text, partition int, next bigint)),
    others as (
      update reaction_start s set start_at = greatest(s.start_at, p.next) from position p, target t
      where p.topic = t.topic and p.partition = t.partition and s.topic = t.topic and s.partition = t.partition
        and s.reaction <> ${reaction}),
    own as (
      insert into reaction_start (reaction, topic, partition, start_at)
      select ${reaction}, topic, partition, next from target
      on conflict (reaction, topic, partition) do update set start_at = excluded.start_at)
    update position p set next = least(p.next, t.next), epoch = p.epoch + 1 from target t
    where p.topic = t.topic and p.partition = t.partition`
}
