import { Cause, Deferred, Effect, Exit, Schedule } from "effect"
import type { Batch, EachBatchPayload } from "kafkajs"
import { restMillis } from "../../loop/rest.ts"
import { PositionMoved } from "../EventBus.ts"
import type { Calls } from "./calls.ts"
import { rejectionOf, typeOf } from "./client.ts"
import type { MemberPositions } from "./memberPositions.ts"
import { type Pauses, pauseFor } from "./pauses.ts"
import { slicesOf } from "./records.ts"

/** What the batches of a member share. */
export interface KafkaMember {
  readonly calls: Calls
  readonly pauses: Pauses
  /** Undefined: the committed offsets at the broker decide where the member reads. */
  readonly positions: MemberPositions | undefined
  /** The longest that a call of `handle` may take. */
  readonly deadlineMillis: number
  /** The broker's refusal of a heartbeat or commit, by which the seat is lost; undefined since the last join. */
  lost: unknown
}

/** Handles one batch, slice by slice. Fails, which kafkajs has to learn of, only when the seat is lost. */
export const handleBatch = (member: KafkaMember, payload: EachBatchPayload): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const heart = yield* startHeartbeat(member, payload)
    const begin = yield* beginOf(member, payload, heart.evicted)
    if (begin === "stale") return
    if (begin === "beyond") return yield* askAgain(member, payload)
    if (begin === "unassigned") return pauseFor(payload, restMillis(1))
    const end = yield* handleSlices(member, payload, begin, heart)
    if (member.positions === undefined && end > begin) member.lost ??= yield* commit(payload, end)
    if (member.lost !== undefined) return yield* Effect.fail(member.lost)
  })

interface Heartbeat {
  /** Fails when the broker has evicted the member. */
  readonly evicted: Effect.Effect<never, unknown>
  /** A call of `handle` begins: heartbeats go on for as long as it may take. */
  readonly callBegins: () => void
}

/** Sends a heartbeat each second until the batch has ended. */
const startHeartbeat = (member: KafkaMember, payload: EachBatchPayload) =>
  Effect.gen(function* () {
    const evicted = yield* Deferred.make<never, unknown>()
    /** Undefined while it is not known yet where to begin. */
    let began: number | undefined
    const beat = Effect.gen(function* () {
      // A `handle` that ignores its deadline must not keep its partition.
      if (began !== undefined && performance.now() - began > member.deadlineMillis) return
      const refusal = yield* Effect.promise(() => rejectionOf(payload.heartbeat()))
      if (refusal === undefined) return
      member.lost ??= refusal
      // A rebalance waits for the running call while heartbeats come. An evicted member has nothing to finish.
      if (typeOf(refusal) !== "REBALANCE_IN_PROGRESS") yield* Deferred.fail(evicted, refusal)
    })
    yield* Effect.forkChild(Effect.repeat(beat, Schedule.spaced("1 second")))
    return {
      evicted: Deferred.await(evicted),
      callBegins: () => void (began = performance.now()),
    } satisfies Heartbeat
  })

/**
 * The offset from which a batch is to be handled; "stale" when a seek is pending, or is made here because the batch begins
 * too late; "unassigned" when no reaction has a position in the partition, as during a reset; "beyond" when the log ends before
 * the position, as that of a topic that was deleted and created again: kafkajs then reads from its beginning.
 */
const beginOf = (member: KafkaMember, payload: EachBatchPayload, evicted: Effect.Effect<never, unknown>) =>
  Effect.gen(function* () {
    const { batch } = payload
    const { positions } = member
    const fetched = fetchedOffsetOf(batch)
    if (positions === undefined) return fetched
    yield* Effect.raceFirst(Effect.andThen(positions.ready, positions.settled(batch)), evicted)
    if (payload.isStale()) return "stale"
    const at = positions.at(batch)
    if (at === undefined) return "unassigned"
    if (Number(batch.highWatermark) < at) return "beyond"
    if (fetched <= at) return at
    positions.seek({ topic: batch.topic, partition: batch.partition, next: at })
    return "stale"
  })

/** The offset that the fetch asked for. kafkajs 2.2.4 has it, and its types lack it. */
const fetchedOffsetOf = (batch: Batch): number =>
  Number((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset)

/** Calls `handle` slice by slice until one fails or the batch is not the member's any more; the offset behind the last. */
const handleSlices = (member: KafkaMember, payload: EachBatchPayload, begin: number, heart: Heartbeat) =>
  Effect.gen(function* () {
    let end = begin
    for (const slice of slicesOf(payload.batch, begin)) {
      if (!payload.isRunning() || payload.isStale() || member.lost !== undefined) break
      const exit = yield* member.calls.run(slice, heart.evicted, heart.callBegins)
      if (Exit.isFailure(exit)) {
        yield* failed(member, payload, exit.cause)
        break
      }
      end = slice.span.next
      member.pauses.succeeded(payload.batch)
      payload.resolveOffset(String(slice.records.at(-1)!.offset))
      member.positions?.done(slice.span, payload)
    }
    return end
  })

/** A call failed: its partition is paused, or, where its position was moved back, read from there. */
const failed = (member: KafkaMember, payload: EachBatchPayload, cause: Cause.Cause<unknown>) =>
  member.positions !== undefined && Cause.squash(cause) instanceof PositionMoved
    ? askAgain(member, payload)
    : Effect.sync(() => member.pauses.failed(payload, cause))

/** Asks for the positions in a batch's topic again, and reads from there; when that fails, the partition is paused. */
const askAgain = ({ positions, pauses }: KafkaMember, payload: EachBatchPayload) =>
  Effect.catchCause(positions!.again(payload.batch.topic), (cause) => Effect.sync(() => pauses.failed(payload, cause)))

/**
 * Commits at the broker, and brings the refusal, if there is one. During a rebalance that waits for this member the commit
 * is still accepted. It is not `consumer.commitOffsets`, which silently does nothing once the consumer stops.
 */
const commit = (payload: EachBatchPayload, end: number) => {
  const { topic, partition } = payload.batch
  const offsets = { topics: [{ topic, partitions: [{ partition, offset: String(end) }] }] }
  return Effect.promise(() => rejectionOf(payload.commitOffsetsIfNecessary(offsets)))
}
