import { Effect, type Latch } from "effect"
import { SqlClient } from "effect/sql"
import {
  type End,
  EventBus,
  type EventBusError,
  type Partition,
  partitionName,
  PositionMoved,
  type Positions,
} from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { recordsLost } from "../telemetry/metrics.ts"
import { lagOf, lossAt, lossOf } from "./positionInLog.ts"
import { type Move, positionName, positionTable, type StoredPosition } from "./positionTable.ts"
import { isSame, makeSeats } from "./seats.ts"

/**
 * How often the log is asked again, a second apart, when it seems to end before a position: after a fail-over Kafka may
 * report an old end.
 */
const rechecks = 5

/** How often `begin` corrects positions at most, when another process corrects them too. */
const mostCorrections = 10

interface Options {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly moved: Latch.Latch
  /** Succeeds once the database is known to belong to the log (`bindLog`). */
  readonly logKnown: Effect.Effect<void>
}

/**
 * The positions of a module's reactions, in its own database (DELIVERY.md, *Positions*): a position moves in the
 * transaction of the inbox rows and decides where a member begins. So the events after a dump are taken again when the
 * database is restored from that dump.
 */
export const makePositions = (options: Options) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const bus = yield* EventBus
    const table = positionTable(sql)
    const names = options.reactions.map(({ name }) => name)
    const seats = makeSeats()
    const { addMissing, isPrepared } = yield* makeMissing(options)
    const { correct, lost } = makeCorrection(options, table)
    const look = makeLook((partitions) => table.read(partitions, names))

    const begin: Positions["begin"] = (partitions, ends) =>
      Effect.gen(function* () {
        yield* options.logKnown
        if (!partitions.every(isPrepared)) yield* addMissing
        for (let corrected = 0; ; corrected++) {
          const looked = yield* look(partitions, ends)
          const wrong = looked.filter(({ position, end }) => position.next > end.next || position.next < end.first)
          if (wrong.length > 0 && corrected < mostCorrections) {
            for (const { position, end } of wrong) yield* correct(position, end)
            continue
          }
          const found = Map.groupBy(looked, ({ position }) => partitionName(position))
          return partitions.flatMap((partition) => {
            const own = (found.get(partitionName(partition)) ?? []).map(({ position }) => position)
            seats.begin(partition, own)
            return own.length === 0 ? [] : [{ ...partition, next: Math.min(...own.map(({ next }) => next)) }]
          })
        }
      })

    /**
     * Locks positions and moves them, in the current transaction. Returns where each was, by `positionName`. Fails with
     * `PositionMoved` when a position was moved by something other than a consumer, or is before what is done.
     */
    const advance = (moves: ReadonlyArray<Move>) =>
      Effect.gen(function* () {
        if (moves.length === 0) return new Map<string, number>()
        const found = new Map((yield* table.move(moves)).map((one) => [positionName(one.reaction, one), one]))
        const refused = seats.refused(moves, found)
        if (refused !== undefined) return yield* new PositionMoved(refused)
        yield* sql.afterCommit(Effect.sync(() => moves.forEach(seats.moved)))
        return new Map(Array.from(found, ([name, { next }]) => [name, next]))
      })

    /** Moves the positions of all reactions that this process gives the records to. */
    const moveAll = (spans: ReadonlyArray<Omit<Move, "reaction">>) =>
      advance(spans.flatMap((span) => seats.of(span).map(({ reaction }) => ({ ...span, reaction }))))

    /**
     * One turn: opens `moved` when positions were moved by something other than a consumer, also while nothing arrives.
     * Always returns false.
     */
    const watch = Effect.gen(function* () {
      const known = seats.all()
      const partitions = [...new Map(known.map((position) => [partitionName(position), position])).values()]
      if (!isSame(known, yield* table.read(partitions, names))) yield* options.moved.open
      return false
    })

    /** How many records the module has still to read; with `reaction`, that reaction. */
    const lag = (reaction?: string) =>
      Effect.gen(function* () {
        const ends = yield* bus.ends(topicsOf(options))
        return lagOf(ends, yield* table.read(ends, reaction === undefined ? names : [reaction]))
      })

    /** Where its reactions are in these partitions. */
    const standing = (partitions: ReadonlyArray<Partition>) => table.read(partitions, names)

    return {
      begin,
      moved: options.moved,
      pass: (spans: Parameters<Positions["pass"]>[0]) => database.transaction(Effect.asVoid(moveAll(spans))),
      advance,
      moveAll,
      /** The positions of the reactions that this process gives the records of a partition. */
      seated: seats.of,
      watch,
      lag,
      standing,
      /** The last loss since this process started; undefined: none. */
      lost,
    }
  })

export type ModulePositions = Effect.Success<ReturnType<typeof makePositions>>

const topicsOf = ({ reactions }: Options) => [...new Set(reactions.map(({ event }) => event.type))]

/** Gives reactions without positions theirs, in every partition (DELIVERY.md, *Reactions that are added*). */
const makeMissing = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const bus = yield* EventBus
    const table = positionTable(yield* SqlClient.SqlClient)
    /** Partitions in which every reaction has a position. */
    const prepared = new Set<string>()
    /** The module had no position at all when this process first looked; undefined until then. */
    let isNew: boolean | undefined

    const addMissing = Effect.gen(function* () {
      const ends = yield* bus.ends(topicsOf(options))
      yield* database.transaction(
        Effect.gen(function* () {
          yield* table.lock
          isNew ??= yield* table.isEmpty
          const rows = options.reactions.flatMap(({ name, event, hasHistory }) =>
            ends
              .filter(({ topic }) => topic === event.type)
              .map((end) => ({ ...end, reaction: name, history: hasHistory || isNew === true })),
          )
          yield* table.addMissing(rows)
        }),
      )
      for (const end of ends) prepared.add(partitionName(end))
    })

    return { addMissing, isPrepared: (partition: Partition) => prepared.has(partitionName(partition)) }
  })

/** Corrects positions that the log does not fit, and reports what is lost. */
const makeCorrection = ({ module }: Options, table: ReturnType<typeof positionTable>) => {
  let lost: string | undefined
  return {
    correct: (position: StoredPosition, end: End) =>
      Effect.gen(function* () {
        const isCorrected = yield* table.correct(position, end.first)
        const loss = lossAt(position, end)
        if (!isCorrected || loss === undefined) return
        lost = loss.text
        yield* recordsLost({ module, topic: position.topic }, loss.records)
        yield* Effect.logError(`Records are lost: ${lost}; reading goes on at ${end.first}`)
      }),
    lost: Effect.sync(() => lost),
  }
}

/** A stored position and the log's end in its partition. */
interface Look {
  readonly position: StoredPosition
  readonly end: End
}

/** Reads positions before the ends, so that what another member has just finished is not reported as lost. */
const makeLook = <E>(
  read: (partitions: ReadonlyArray<Partition>) => Effect.Effect<ReadonlyArray<StoredPosition>, E>,
) => {
  const look = (partitions: ReadonlyArray<Partition>, ends: Effect.Effect<ReadonlyArray<End>, EventBusError>) =>
    Effect.gen(function* () {
      const positions = yield* read(partitions)
      const found = new Map((yield* ends).map((end) => [partitionName(end), end]))
      return positions.flatMap((position): ReadonlyArray<Look> => {
        const end = found.get(partitionName(position))
        return end === undefined ? [] : [{ position, end }]
      })
    })

  return (...asked: Parameters<typeof look>) =>
    Effect.gen(function* () {
      let looked = yield* look(...asked)
      const isBeyond = ({ position, end }: Look) => lossOf(position.next, end) === "beyond"
      for (let n = 0; n < rechecks && looked.some(isBeyond); n++) {
        yield* Effect.sleep("1 second")
        looked = yield* look(...asked)
      }
      return looked
    })
}
