import { Effect, type Latch } from "effect"
import { SqlClient } from "effect/sql"
import {
  type End,
  EventBus,
  type EventBusError,
  type Lag,
  type Partition,
  partitionName,
  PositionMoved,
  type Positions,
} from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { recordsLost } from "../telemetry/metrics.ts"

/** The beginning of the log, wherever that is when a member begins to read. */
export const beginning = -1

const nameOf = (row: Partition & { readonly reaction: string }) => `${row.reaction} ${partitionName(row)}`

/** The position of one reaction in one partition, as it is kept. */
interface Kept extends Partition {
  readonly reaction: string
  readonly next: number
  readonly epoch: number
}

interface Row extends Partition {
  readonly reaction: string
  readonly next: bigint | null
  readonly epoch: bigint
}

const keptOf = (row: Row): ReadonlyArray<Kept> =>
  row.next === null ? [] : [{ ...row, next: Number(row.next), epoch: Number(row.epoch) }]

/** What a transaction does to a position: it must be at `from` or beyond, and is `next` afterwards, or beyond. */
export interface Move extends Partition {
  readonly reaction: string
  readonly from: number
  readonly next: number
}

/** How the log does not fit a position: it lacks what comes next, or ends before it. */
export const lossOf = (next: number, end: End): "none" | "pruned" | "beyond" =>
  next > end.next ? "beyond" : next < end.first && next !== beginning ? "pruned" : "none"

/** So often, a second apart, an end before a position is looked at again: after a fail-over Kafka may report an old one. */
const rechecks = 5

/** A position that another process corrects too is not corrected more often than this. */
const mostCorrections = 10

/**
 * Where the reactions of a module read on, kept in its own database (DELIVERY.md, *Positions*): a position moves in the
 * transaction of the inbox rows and decides where a member begins. So a database that is restored to an earlier state
 * takes the events since then again.
 */
export const makePositions = (options: {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly moved: Latch.Latch
  /** Succeeds once the database is known to belong to the log (`bindLog`). */
  readonly logKnown: Effect.Effect<void>
}) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const bus = yield* EventBus
    const { module, reactions } = options
    const topics = [...new Set(reactions.map(({ event }) => event.type))]
    const own = JSON.stringify(reactions.map(({ name }) => name))
    /** What this process knows of the partitions that it reads: by partition, then by reaction. */
    const seats = new Map<string, Map<string, Kept>>()
    /** Partitions in which every reaction has been given a position. */
    const prepared = new Set<string>()
    /** The module had no position at all when this process began; undefined until that was looked at. */
    let isNew: boolean | undefined
    let lost: string | undefined

    const read = (partitions: ReadonlyArray<Partition>) =>
      Effect.map(
        sql<Row>`
          select p.reaction, p.topic, p.partition, p.next, p.epoch from position p
          join json_to_recordset(${JSON.stringify(partitions)}::json) as x (topic text, partition int)
            on p.topic = x.topic and p.partition = x.partition
          where p.reaction in (select json_array_elements_text(${own}::json))`,
        (rows) => rows.flatMap(keptOf),
      )

    /** Gives reactions that have none their positions, in every partition (DELIVERY.md, *Reactions that are added*). */
    const prepare = Effect.gen(function* () {
      const ends = yield* bus.ends(topics)
      yield* database.transaction(
        Effect.gen(function* () {
          yield* sql`lock table position in share row exclusive mode`
          isNew ??= (yield* sql`select 1 from position limit 1`).length === 0
          const rows = reactions.flatMap(({ name, event, hasHistory }) =>
            ends
              .filter(({ topic }) => topic === event.type)
              .map((end) => ({ ...end, reaction: name, history: hasHistory || isNew })),
          )
          yield* sql`
            insert into position (reaction, topic, partition, next)
            select x.reaction, x.topic, x.partition, case when x.history then ${beginning}::bigint else coalesce(
              (select max(p.next) from position p where p.topic = x.topic and p.partition = x.partition), x.next) end
            from json_to_recordset(${JSON.stringify(rows)}::json)
              as x (reaction text, topic text, partition int, next bigint, history boolean)
            order by x.reaction, x.topic, x.partition on conflict do nothing`
        }),
      )
      for (const end of ends) prepared.add(partitionName(end))
    })

    /** Corrects a position that the log does not fit, and reports what is lost; says whether it changed one. */
    const correct = (kept: Kept, end: End) =>
      Effect.gen(function* () {
        const loss = lossOf(kept.next, end)
        const { reaction, topic, partition, next, epoch } = kept
        const changed = yield* sql`
          update position set next = ${end.first}, epoch = epoch + 1
          where reaction = ${reaction} and topic = ${topic} and partition = ${partition}
            and next = ${next} and epoch = ${epoch} returning 1`
        if (changed.length === 0 || loss === "none") return
        lost =
          loss === "pruned"
            ? `${end.first - next} records of ${partitionName(kept)} were pruned before ${reaction} had seen them`
            : `the log of ${partitionName(kept)} ends at ${end.next}, before the position ${next} of ${reaction}`
        yield* recordsLost({ module, topic }, loss === "pruned" ? end.first - next : 1)
        yield* Effect.logError(`Records are lost: ${lost}; reading goes on at ${end.first}`)
      })

    /** Reads positions before the ends, so that what a member has just finished is not taken for lost. */
    const look = (partitions: ReadonlyArray<Partition>, ends: Effect.Effect<ReadonlyArray<End>, EventBusError>) =>
      Effect.gen(function* () {
        const kept = yield* read(partitions)
        const found = new Map((yield* ends).map((end) => [partitionName(end), end]))
        return kept.flatMap((one) => {
          const end = found.get(partitionName(one))
          return end === undefined ? [] : [{ kept: one, end }]
        })
      })

    /** The same, again where the log seems to end before a position. */
    const lookAgain = (...asked: Parameters<typeof look>) =>
      Effect.gen(function* () {
        let looked = yield* look(...asked)
        for (let n = 0; n < rechecks && looked.some(({ kept, end }) => lossOf(kept.next, end) === "beyond"); n++) {
          yield* Effect.sleep("1 second")
          looked = yield* look(...asked)
        }
        return looked
      })

    const begin: Positions["begin"] = (partitions, ends) =>
      Effect.gen(function* () {
        yield* options.logKnown
        if (partitions.some((partition) => !prepared.has(partitionName(partition)))) yield* prepare
        for (let corrected = 0; ; corrected++) {
          const looked = yield* lookAgain(partitions, ends)
          const wrong = looked.filter(({ kept, end }) => kept.next > end.next || kept.next < end.first)
          if (wrong.length > 0 && corrected < mostCorrections) {
            for (const { kept, end } of wrong) yield* correct(kept, end)
            continue
          }
          const found = Map.groupBy(looked, ({ kept }) => partitionName(kept))
          return partitions.flatMap((partition) => {
            const own = (found.get(partitionName(partition)) ?? []).map(({ kept }) => kept)
            seats.set(partitionName(partition), new Map(own.map((kept) => [kept.reaction, kept])))
            return own.length === 0 ? [] : [{ ...partition, next: Math.min(...own.map(({ next }) => next)) }]
          })
        }
      })

    /** The reactions that this process gives the records of a partition. */
    const seated = (partition: Partition): ReadonlyArray<Kept> => [
      ...(seats.get(partitionName(partition))?.values() ?? []),
    ]

    /**
     * Locks the positions and moves them, in the running transaction, and says where each reaction was. Fails when one was
     * moved by other than a consumer, or is before what is to be done.
     */
    const advance = (moves: ReadonlyArray<Move>) =>
      Effect.gen(function* () {
        if (moves.length === 0) return new Map<string, number>()
        const rows = yield* sql<Row>`
          with target as materialized (
            select * from json_to_recordset(${JSON.stringify(moves)}::json)
              as x (reaction text, topic text, partition int, next bigint)),
          locked as materialized (
            select p.reaction, p.topic, p.partition, p.next, p.epoch from position p
            where (p.reaction, p.topic, p.partition) in (select reaction, topic, partition from target)
            order by p.reaction, p.topic, p.partition for no key update of p),
          moved as (
            update position p set next = t.next from locked l, target t
            where (p.reaction, p.topic, p.partition) = (l.reaction, l.topic, l.partition)
              and (t.reaction, t.topic, t.partition) = (l.reaction, l.topic, l.partition) and l.next < t.next
            returning 1)
          select reaction, topic, partition, next, epoch from locked`
        const found = new Map(rows.flatMap(keptOf).map((kept) => [nameOf(kept), kept]))
        for (const move of moves) {
          const kept = found.get(nameOf(move))
          const isOurs =
            kept !== undefined &&
            kept.next >= move.from &&
            kept.epoch === seats.get(partitionName(move))?.get(move.reaction)?.epoch
          if (!isOurs) return yield* new PositionMoved(move)
        }
        yield* sql.afterCommit(Effect.sync(() => moves.forEach(know)))
        return new Map(Array.from(found, ([name, { next }]) => [name, next]))
      })

    /** By this a database that goes back is noticed, also while nothing arrives. */
    const know = (move: Move) => {
      const seat = seats.get(partitionName(move))
      const kept = seat?.get(move.reaction)
      if (kept !== undefined && kept.next < move.next) seat!.set(move.reaction, { ...kept, next: move.next })
    }

    const moveAll = (spans: ReadonlyArray<Omit<Move, "reaction">>) =>
      advance(spans.flatMap((span) => seated(span).map(({ reaction }) => ({ ...span, reaction }))))

    /**
     * Opens `moved` when the positions are not as this process knew them before it asked; it looks also while nothing
     * arrives.
     */
    const watch = Effect.gen(function* () {
      const known = [...seats.values()].flatMap((own) => [...own.values()])
      const partitions = [...new Map(known.map((kept) => [partitionName(kept), kept])).values()]
      const found = new Map((yield* read(partitions)).map((kept) => [nameOf(kept), kept]))
      const isSame = known.every((kept) => {
        const now = found.get(nameOf(kept))
        return now !== undefined && now.epoch === kept.epoch && now.next >= kept.next
      })
      if (!isSame || found.size !== known.length) yield* options.moved.open
      return false
    })

    const lagOf = (ends: ReadonlyArray<End>, of: ReadonlyArray<Kept>): ReadonlyArray<Lag> =>
      ends.map(({ topic, partition, first, next: end }) => {
        const nexts = of.filter((kept) => kept.topic === topic && kept.partition === partition).map(({ next }) => next)
        return {
          topic,
          partition,
          records: nexts.length === 0 ? 0 : Math.max(0, end - Math.max(Math.min(...nexts), first)),
        }
      })

    return {
      begin,
      moved: options.moved,
      pass: (spans: Parameters<Positions["pass"]>[0]) => database.transaction(Effect.asVoid(moveAll(spans))),
      advance,
      moveAll,
      seated,
      watch,
      /** Records that the module has still to read; those of one reaction where it is named. */
      lag: (reaction?: string) =>
        Effect.gen(function* () {
          const ends = yield* bus.ends(topics)
          const kept = yield* read(ends)
          return lagOf(ends, reaction === undefined ? kept : kept.filter((one) => one.reaction === reaction))
        }),
      /** What was lost since this process started; undefined when nothing was. */
      lost: Effect.sync(() => lost),
    }
  })

export type ModulePositions = Effect.Success<ReturnType<typeof makePositions>>
