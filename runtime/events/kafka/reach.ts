import { Deferred, Effect, Exit, Fiber, Schedule, type Scope } from "effect"
import type { Consumer, EachBatchPayload } from "kafkajs"
import { backOff } from "../../loop/loop.ts"
import {
  type End,
  type EventBusError,
  type Partition,
  partitionName,
  type Position,
  type Positions,
} from "../EventBus.ts"
import type { Assignment, EndedBatch } from "./seat.ts"

/** The payload of a batch: by it offsets can be committed also while the consumer stops. */
type Committer = Pick<EachBatchPayload, "commitOffsetsIfNecessary">

/** Between two commits of one seat, so that many slices share one. */
const commitEvery = "100 millis"

/** After a commit that failed. */
const retryCommitAfter = "1 second"

/** A seat that is given back waits this long for its last commit. */
const lastCommitWithin = "1 second"

/**
 * How far a member is in each of its partitions, where its group keeps its own positions: these decide where it reads.
 *
 * kafkajs fetches from the committed offset as soon as it has joined, before a seek takes effect. So a batch waits until
 * the positions are known (`ready`), and one that begins beyond them is not taken.
 */
export interface Reach {
  /** The member was given these partitions: it asks anew where to begin in each, until it gets an answer. */
  readonly joined: (consumer: Consumer, assignment: Assignment) => void
  /** Succeeds once it is known where to begin. */
  readonly ready: Effect.Effect<void>
  /** Where it goes on; undefined in a partition that it does not have. */
  readonly at: (partition: Partition) => number | undefined
  /** Reads from there next. */
  readonly seek: (position: Position) => void
  /** Everything before `next` is done. Kafka's copy follows, without being waited for. */
  readonly done: (position: Position, by: Committer) => void
  /** Asks again where to begin in one partition, and reads from there. */
  readonly again: (partition: Partition) => Effect.Effect<void, unknown>
  /** A batch without a record for the member still moves it. */
  readonly ended: (batch: EndedBatch) => void
  /** Succeeds once what such batches moved is kept. */
  readonly settled: (partition: Partition) => Effect.Effect<void>
}

export const makeReach = (
  positions: Positions,
  ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>,
): Effect.Effect<Reach, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = Effect.runForkWith(yield* Effect.context())
    const next = new Map<string, number>()
    let seat: { readonly consumer: Consumer; readonly partitions: ReadonlyArray<Partition> } | undefined
    let ready = Deferred.makeUnsafe<void>()
    let beginning: Fiber.Fiber<unknown> | undefined
    const passing = new Map<string, Fiber.Fiber<void, unknown>>()
    const commits = yield* makeCommits

    const seek = ({ topic, partition, next: offset }: Position) => {
      next.set(partitionName({ topic, partition }), offset)
      // A consumer that has stopped meanwhile has nothing to seek in.
      try {
        seat?.consumer.seek({ topic, partition, offset: String(offset) })
      } catch {}
    }

    /** Kafka's copy follows here too: what a member before this one did may not have been committed. */
    const begin = (partitions: ReadonlyArray<Partition>) =>
      Effect.map(positions.begin(partitions, ends([...new Set(partitions.map(({ topic }) => topic))])), (found) => {
        for (const position of found) {
          seek(position)
          commits.note(position)
        }
      })

    const beginAll = () => {
      if (beginning !== undefined) run(Fiber.interrupt(beginning))
      const partitions = seat?.partitions ?? []
      const known = ready
      const work = begin(partitions).pipe(
        Effect.tapCause((cause) => Effect.logDebug("it is not known yet where to begin", cause)),
        Effect.retry(backOff),
        Effect.ignore,
        Effect.andThen(Effect.sync(() => Deferred.doneUnsafe(known, Exit.void))),
      )
      beginning = run(work)
    }

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => (beginning === undefined ? Effect.void : Fiber.interrupt(beginning))),
    )
    const moved = Effect.sync(() => {
      if (seat === undefined) return
      ready = Deferred.makeUnsafe<void>()
      beginAll()
    })
    const watching = positions.moved.await.pipe(Effect.andThen(positions.moved.close), Effect.andThen(moved))
    yield* Effect.forkScoped(Effect.forever(watching))

    return {
      joined: (consumer, assignment) => {
        seat = {
          consumer,
          partitions: Object.entries(assignment).flatMap(([topic, of]) =>
            of.map((partition) => ({ topic, partition })),
          ),
        }
        next.clear()
        commits.restart(consumer)
        ready = Deferred.makeUnsafe<void>()
        beginAll()
      },
      ready: Effect.suspend(() => Deferred.await(ready)),
      at: (partition) => next.get(partitionName(partition)),
      seek,
      done: (position, by) => {
        next.set(partitionName(position), position.next)
        commits.note(position, by)
      },
      again: (partition) => begin([partition]),
      ended: ({ topic, partition, batchSize, firstOffset, lastOffset }) => {
        const place = partitionName({ topic, partition })
        const at = next.get(place)
        if (batchSize > 0 || firstOffset === null || at === undefined || Number(firstOffset) > at) return
        const span = { topic, partition, from: at, next: Number(lastOffset) + 1 }
        if (span.next <= at) return
        const pass = Effect.map(positions.pass([span]), () => {
          if (next.get(place) === at) next.set(place, span.next)
          commits.note(span)
        })
        passing.set(place, run(pass))
      },
      settled: (partition) =>
        Effect.suspend(() => {
          const pass = passing.get(partitionName(partition))
          if (pass === undefined) return Effect.void
          passing.delete(partitionName(partition))
          return Effect.asVoid(Fiber.await(pass))
        }),
    }
  })

/**
 * Commits positions to Kafka behind what was done, one request at a time. What could not be committed is committed later,
 * unless the member joined anew meanwhile.
 */
const makeCommits = Effect.gen(function* () {
  let uncommitted = new Map<string, Position>()
  let committer: ((positions: ReadonlyArray<Position>) => Promise<void>) | undefined

  const flush = Effect.suspend(() => {
    if (uncommitted.size === 0 || committer === undefined) return Effect.void
    const commit = committer
    const own = uncommitted
    const positions = [...own.values()]
    own.clear()
    return Effect.tryPromise(() => commit(positions)).pipe(
      Effect.catch(() => {
        for (const position of positions) {
          const name = partitionName(position)
          if (!own.has(name)) own.set(name, position)
        }
        return Effect.sleep(retryCommitAfter)
      }),
    )
  })
  yield* Effect.addFinalizer(() => Effect.timeoutOption(flush, lastCommitWithin))
  yield* Effect.forkScoped(Effect.repeat(flush, Schedule.spaced(commitEvery)))

  return {
    /** By the payload of a batch, where there is one: by it offsets are committed also while the consumer stops. */
    note: (position: Position, by?: Committer) => {
      uncommitted.set(partitionName(position), position)
      if (by !== undefined) committer = (positions) => by.commitOffsetsIfNecessary({ topics: byTopic(positions) })
    },
    /** What is not committed yet belongs to the partitions that the member had before it joined. */
    restart: (consumer: Consumer) => {
      uncommitted = new Map()
      committer = (positions) =>
        consumer.commitOffsets(positions.map(({ next, ...partition }) => ({ ...partition, offset: String(next) })))
    },
  }
})

const byTopic = (positions: ReadonlyArray<Position>) =>
  [...Map.groupBy(positions, ({ topic }) => topic)].map(([topic, those]) => ({
    topic,
    partitions: those.map(({ partition, next }) => ({ partition, offset: String(next) })),
  }))
