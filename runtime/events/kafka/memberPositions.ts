import { Effect, Fiber, Latch, type Scope } from "effect"
import type { Consumer } from "kafkajs"
import { backOff } from "../../loop/loop.ts"
import {
  type End,
  type EventBusError,
  type Partition,
  partitionName,
  type Position,
  type Positions,
  type Span,
} from "../EventBus.ts"
import { type Committer, makeCommits } from "./commits.ts"
import type { Assignment, EndedBatch } from "./seat.ts"

/**
 * Where a member reads in each of its partitions, when its group keeps its own positions.
 *
 * kafkajs fetches from the committed offset as soon as it has joined, before a seek takes effect. So a batch waits until
 * the positions are known (`ready`), and one that begins beyond them is not handled.
 */
export interface MemberPositions {
  /** The member was assigned these partitions: asks for the position in each, with back-off, until there is an answer. */
  readonly joined: (consumer: Consumer, assignment: Assignment) => void
  /** Succeeds once the positions are known. */
  readonly ready: Effect.Effect<void>
  /** The next offset; undefined in a partition that the member does not have. */
  readonly at: (partition: Partition) => number | undefined
  /** Reads from there next. */
  readonly seek: (position: Position) => void
  /** Everything before `next` was handled. It is committed at the broker in the background. */
  readonly done: (position: Position, by: Committer) => void
  /**
   * Asks again for the positions in all partitions of the topic that the member has, and reads from there. What moves one
   * position to another place, as a reset or a topic that was deleted and created again, moves the others too.
   */
  readonly again: (topic: string) => Effect.Effect<void, unknown>
  /** kafkajs has processed a batch. One without a record for the member moves the position as well. */
  readonly ended: (batch: EndedBatch) => void
  /** Succeeds once the position is stored that such batches have moved. */
  readonly settled: (partition: Partition) => Effect.Effect<void>
}

export const makeMemberPositions = (
  positions: Positions,
  ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>,
): Effect.Effect<MemberPositions, never, Scope.Scope> =>
  Effect.gen(function* () {
    const next = new Map<string, number>()
    let seat: { readonly consumer: Consumer; readonly partitions: ReadonlyArray<Partition> } | undefined
    const commits = yield* makeCommits

    const seek = ({ topic, partition, next: offset }: Position) => {
      next.set(partitionName({ topic, partition }), offset)
      // A consumer that has stopped meanwhile cannot seek, and throws.
      try {
        seat?.consumer.seek({ topic, partition, offset: String(offset) })
      } catch {}
    }

    /** The positions are committed as well: an earlier member may not have committed what it handled. */
    const begin = (partitions: ReadonlyArray<Partition>) =>
      Effect.map(positions.begin(partitions, ends([...new Set(partitions.map(({ topic }) => topic))])), (found) => {
        for (const position of found) {
          seek(position)
          commits.add(position)
        }
      })

    const beginning = yield* makeBeginning
    const moved = Effect.sync(() => {
      if (seat !== undefined) beginning.start(begin(seat.partitions))
    })
    const watching = positions.moved.await.pipe(Effect.andThen(positions.moved.close), Effect.andThen(moved))
    yield* Effect.forkScoped(Effect.forever(watching))

    const passes = yield* makePasses((span) =>
      Effect.map(positions.pass([span]), () => {
        const name = partitionName(span)
        if (next.get(name) === span.from) next.set(name, span.next)
        commits.add(span)
      }),
    )

    return {
      joined: (consumer, assignment) => {
        seat = { consumer, partitions: partitionsIn(assignment) }
        next.clear()
        commits.restart(consumer)
        beginning.start(begin(seat.partitions))
      },
      ready: beginning.done,
      at: (partition) => next.get(partitionName(partition)),
      seek,
      done: (position, by) => {
        next.set(partitionName(position), position.next)
        commits.add(position, by)
      },
      again: (topic) => Effect.suspend(() => begin((seat?.partitions ?? []).filter((one) => one.topic === topic))),
      ended: (batch) => {
        const span = passedBy(batch, next.get(partitionName(batch)))
        if (span !== undefined) passes.start(span)
      },
      settled: passes.settled,
    }
  })

const partitionsIn = (assignment: Assignment): ReadonlyArray<Partition> =>
  Object.entries(assignment).flatMap(([topic, of]) => of.map((partition) => ({ topic, partition })))

/**
 * What a batch without a record for the member moves its position `at` over, as a batch of nothing but transaction
 * markers; undefined for a batch with records, of none at all, or that does not begin at the position.
 */
export const passedBy = (batch: EndedBatch, at: number | undefined): Span | undefined => {
  const { topic, partition, batchSize, firstOffset, lastOffset } = batch
  if (batchSize > 0 || firstOffset === null || at === undefined || Number(firstOffset) > at) return undefined
  const next = Number(lastOffset) + 1
  return next > at ? { topic, partition, from: at, next } : undefined
}

/**
 * Runs the work that finds out where to begin, with back-off until it succeeds. A new start replaces the one before; a
 * batch that waits already then waits for the new one.
 */
const makeBeginning = Effect.gen(function* () {
  const run = Effect.runForkWith(yield* Effect.context())
  const known = Latch.makeUnsafe(false)
  let running: Fiber.Fiber<unknown> | undefined
  const interrupt = Effect.suspend(() => (running === undefined ? Effect.void : Fiber.interrupt(running)))
  yield* Effect.addFinalizer(() => interrupt)
  return {
    start: (begin: Effect.Effect<void, unknown>) => {
      known.closeUnsafe()
      running?.interruptUnsafe()
      running = run(
        begin.pipe(
          Effect.tapCause((cause) => Effect.logDebug("the positions are not known yet", cause)),
          Effect.retry(backOff),
          Effect.ignore,
          Effect.andThen(known.open),
        ),
      )
    },
    done: known.await,
  }
})

/** Stores spans without records in the background. */
const makePasses = (pass: (span: Span) => Effect.Effect<void, unknown>) =>
  Effect.gen(function* () {
    const run = Effect.runForkWith(yield* Effect.context())
    const running = new Map<string, Fiber.Fiber<void, unknown>>()
    return {
      start: (span: Span) => void running.set(partitionName(span), run(pass(span))),
      /** Succeeds when what was started in the partition has ended. */
      settled: (partition: Partition) =>
        Effect.suspend(() => {
          const fiber = running.get(partitionName(partition))
          if (fiber === undefined) return Effect.void
          running.delete(partitionName(partition))
          return Effect.asVoid(Fiber.await(fiber))
        }),
    }
  })
