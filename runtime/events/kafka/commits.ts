import { Effect, Latch } from "effect"
import type { Consumer, EachBatchPayload } from "kafkajs"
import { partitionName, type Position } from "../EventBus.ts"

/** The payload of a batch, by which offsets can be committed also while the consumer stops. */
export type Committer = Pick<EachBatchPayload, "commitOffsetsIfNecessary">

/** After a commit, so that many slices share the next one. */
const commitEvery = "100 millis"

/** After a commit that failed. */
const retryAfter = "1 second"

/** When its scope closes, the last commit may take this long. */
const lastCommitWithin = "1 second"

/**
 * Commits positions at the broker in the background, one request at a time. A failed commit is retried, unless the member
 * has joined anew meanwhile.
 */
export const makeCommits = Effect.gen(function* () {
  let uncommitted = new Map<string, Position>()
  /** Open while there may be something to commit. */
  const added = Latch.makeUnsafe(false)
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
        return Effect.andThen(added.open, Effect.sleep(retryAfter))
      }),
    )
  })
  yield* Effect.addFinalizer(() => Effect.timeoutOption(flush, lastCommitWithin))
  const commitAdded = added.whenOpen(Effect.andThen(added.close, flush))
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(commitAdded, Effect.sleep(commitEvery))))

  return {
    /** Commits the position soon, by the payload of a batch where there is one. */
    add: (position: Position, by?: Committer) => {
      uncommitted.set(partitionName(position), position)
      if (by !== undefined) committer = (positions) => by.commitOffsetsIfNecessary({ topics: byTopic(positions) })
      added.openUnsafe()
    },
    /** The member has joined: what is uncommitted belongs to its former partitions, and is dropped. */
    restart: (consumer: Consumer) => {
      uncommitted = new Map()
      committer = (positions) =>
        consumer.commitOffsets(
          positions.map(({ topic, partition, next }) => ({ topic, partition, offset: String(next) })),
        )
    },
  }
})

const byTopic = (positions: ReadonlyArray<Position>) =>
  [...Map.groupBy(positions, ({ topic }) => topic)].map(([topic, those]) => ({
    topic,
    partitions: those.map(({ partition, next }) => ({ partition, offset: String(next) })),
  }))
