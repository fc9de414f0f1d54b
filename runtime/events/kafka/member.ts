import { Cause, Deferred, Duration, Effect, Exit, Latch, Result, Schedule, ScopedRef } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { EachBatchPayload, Kafka, KafkaMessage } from "kafkajs"
import { loop, Loops } from "../../loop/loop.ts"
import {
  type End,
  EventBusError,
  type Handle,
  HandledTooLate,
  HandleWithin,
  partitionName,
  PositionMoved,
  type Positions,
  type Received,
  type Span,
} from "../EventBus.ts"
import { restMillis } from "../../loop/rest.ts"
import { typeOf } from "./client.ts"
import { makeReach } from "./reach.ts"
import { type Seat, takeSeat } from "./seat.ts"

/** Records in one call of `handle`: not so many that a rebalance waits long. */
const slice = 500

/** Within this after it was interrupted a `handle` has ended, or it never will. */
const graceMillis = 5_000

/** A member that is at rest fetches twice a second. */
const stallMillis = 30_000

/**
 * Reads topics as a member of a group until the scope closes, whatever becomes of the broker: a loop takes a seat, looks
 * after it, and takes a new one when it is lost. Returns at once.
 */
export const readAsMember = (options: {
  readonly kafka: () => Kafka
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly handle: Handle
  readonly positions?: Positions | undefined
  readonly ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>
  /** Done before a seat is taken: one topic that is missing would hold up all. */
  readonly prepare: Effect.Effect<void, EventBusError>
}) =>
  Effect.gen(function* () {
    const loops = yield* Loops
    /** A call that takes longer is interrupted. Kafka learns of it by the pulse, which ends too. */
    const deadlineMillis = Duration.toMillis(yield* HandleWithin)
    const name = `${options.group}.consumer`
    const wake = Latch.makeUnsafe(true)
    const runExit = Effect.runPromiseExitWith(yield* Effect.context())
    const closed = new AbortController()
    /** What is being handled, and since when; and what was told to end and did not. */
    const busy = new Map<object, number>()
    const hung = new Set<object>()
    /** The partitions whose `handle` failed, how often in a row, and why it last did. */
    const failing = new Map<string, Failing>()
    /** What Kafka answered to whoever has lost the seat; undefined since the last join. */
    let lost: unknown
    const reach = options.positions === undefined ? undefined : yield* makeReach(options.positions, options.ends)

    const guarded = (
      records: NonEmptyReadonlyArray<Received>,
      span: Span,
      evicted: Deferred.Deferred<never, unknown>,
    ) =>
      Effect.suspend(() => {
        const call = {}
        busy.set(call, performance.now())
        const ended = Effect.sync(() => void (busy.delete(call), hung.delete(call)))
        return options.handle(records, [span]).pipe(
          Effect.timeoutOrElse({
            duration: deadlineMillis,
            orElse: () => new HandledTooLate({ millis: deadlineMillis }),
          }),
          Effect.raceFirst(Deferred.await(evicted)),
          Effect.ensuring(ended),
          Effect.exit,
        )
      })

    /** Its partition rests, and the others go on: to throw would in the end stop all. */
    const rest = (payload: EachBatchPayload, cause: Cause.Cause<unknown>) => {
      const place = partitionName(payload.batch)
      const times = (failing.get(place)?.times ?? 0) + 1
      failing.set(place, { times, cause })
      const resume = payload.pause()
      setTimeout(() => void errorOf(Promise.resolve().then(resume)), restMillis(times))
      wake.openUnsafe()
    }

    /** What a failed call means for its partition: that it rests, or that its position is asked for again. */
    const fail = (payload: EachBatchPayload, cause: Cause.Cause<unknown>) =>
      reach !== undefined && Cause.squash(cause) instanceof PositionMoved
        ? Effect.catchCause(reach.again(payload.batch), (cause) => Effect.sync(() => rest(payload, cause)))
        : Effect.sync(() => rest(payload, cause))

    /** The offset from which a batch is to be handled; undefined when it is not what comes next. */
    const beginOf = (payload: EachBatchPayload, evicted: Deferred.Deferred<never, unknown>) =>
      Effect.gen(function* () {
        const { batch } = payload
        // It is not in kafkajs's types: the offset that was asked for.
        const fetched = Number((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset)
        if (reach === undefined) return fetched
        yield* Effect.raceFirst(Effect.andThen(reach.ready, reach.settled(batch)), Deferred.await(evicted))
        // A seek is pending: what comes after it will be fetched from there.
        if (payload.isStale()) return undefined
        const at = reach.at(batch)
        // No reaction has a position there, as while one is being reset.
        if (at === undefined) return "rests"
        if (fetched <= at) return at
        reach.seek({ topic: batch.topic, partition: batch.partition, next: at })
        return undefined
      })

    /** Handles one batch, slice by slice; fails with what kafkajs has to know of: that the seat is lost. */
    const take = (payload: EachBatchPayload) =>
      Effect.gen(function* () {
        const { topic, partition, messages } = payload.batch
        const evicted = yield* Deferred.make<never, unknown>()
        /** Since when a `handle` runs; undefined while it is still to be found out where to begin. */
        let since: number | undefined
        const beat = Effect.gen(function* () {
          // A `handle` that ignores its deadline does not keep its partition.
          if (since !== undefined && performance.now() - since > deadlineMillis) return
          const refused = yield* Effect.promise(() => errorOf(payload.heartbeat()))
          if (refused === undefined) return
          lost ??= refused
          // A rebalance waits for what is being handled, as long as the heart beats; whoever was evicted has nothing to
          // finish.
          if (typeOf(refused) !== "REBALANCE_IN_PROGRESS") yield* Deferred.fail(evicted, refused)
        })
        yield* Effect.forkChild(Effect.repeat(beat, Schedule.spaced("1 second")))

        const begin = yield* beginOf(payload, evicted)
        if (begin === undefined) return
        if (begin === "rests") {
          const resume = payload.pause()
          setTimeout(() => void errorOf(Promise.resolve().then(resume)), restMillis(1))
          return
        }
        since = performance.now()
        let from = begin
        for (const records of slicesOf(topic, partition, messages, begin)) {
          if (!payload.isRunning() || payload.isStale() || lost !== undefined) break
          since = performance.now()
          const isLast = records.at(-1)!.offset === Number(messages.at(-1)!.offset)
          const next = isLast ? Number(payload.batch.lastOffset()) + 1 : records.at(-1)!.offset + 1
          const exit = yield* guarded(records, { topic, partition, from, next }, evicted)
          if (Exit.isFailure(exit)) {
            yield* fail(payload, exit.cause)
            break
          }
          failing.delete(partitionName(payload.batch))
          payload.resolveOffset(String(records.at(-1)!.offset))
          // Not `consumer.commitOffsets`, which does nothing, and reports nothing, once the consumer stops.
          reach?.done({ topic, partition, next }, payload)
          from = next
        }
        if (reach === undefined && from > begin) {
          const offsets = { topics: [{ topic, partitions: [{ partition, offset: String(from) }] }] }
          // While a rebalance waits for us it is still taken, which spares the next member a copy.
          lost ??= yield* Effect.promise(() => errorOf(payload.commitOffsetsIfNecessary(offsets)))
        }
        if (lost !== undefined) return yield* Effect.fail(lost)
      })

    const eachBatch = async (payload: EachBatchPayload) => {
      const exit = await runExit(Effect.result(take(payload)), { signal: closed.signal })
      if (Exit.isSuccess(exit) && Result.isFailure(exit.value)) throw exit.value.failure
      // What nobody foresaw would come again at once, for ever.
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) rest(payload, exit.cause)
    }

    const look = (seat: Seat) =>
      Effect.gen(function* () {
        const fault = seat.fault()
        if (fault !== undefined) return yield* fault
        for (const [call, since] of busy) {
          if (performance.now() - since < deadlineMillis + graceMillis) continue
          busy.delete(call)
          hung.add(call)
          return yield* new EventBusError({ operation: "consume", cause: new Error("a handle does not end") })
        }
        // A new seat has helped the others once. Now the loop stands still, which `/livez` shows.
        while (hung.size > 1) yield* Effect.sleep("1 second")
        if (busy.size === 0 && performance.now() - seat.heard() > stallMillis) {
          return yield* new EventBusError({ operation: "consume", cause: new Error("nothing was heard of Kafka") })
        }
      })

    const reading = Effect.gen(function* () {
      yield* Effect.addFinalizer(() => Effect.sync(() => closed.abort()))
      const seat = yield* ScopedRef.fromAcquire(Effect.succeed(undefined as Seat | undefined))
      const give = ScopedRef.set(seat, Effect.succeed(undefined))
      const joined: Parameters<typeof takeSeat>[0]["joined"] = ({ consumer, assignment }) => {
        lost = undefined
        // The member that has those partitions now finds out by itself.
        failing.clear()
        reach?.joined(consumer, assignment)
      }
      const ended = reach === undefined ? {} : { ended: reach.ended }
      const sit = takeSeat({ ...options, ...ended, eachBatch, joined, faulted: () => wake.openUnsafe() })
      const turn = Effect.gen(function* () {
        if ((yield* ScopedRef.get(seat)) === undefined) {
          yield* options.prepare
          yield* ScopedRef.set(seat, sit)
          yield* loops.faltered(name, undefined)
        }
        yield* look((yield* ScopedRef.get(seat))!)
      }).pipe(Effect.onError(() => give))
      const handled = Effect.suspend(() => {
        const [first] = failing.values()
        return first === undefined ? Effect.succeed(false) : Effect.failCause(first.cause)
      })
      yield* loop({ name, turn: Effect.andThen(turn, handled), wake, poll: "1 second" })
    })
    yield* loops.faltered(name, "it has not joined its group yet")
    yield* Effect.forkScoped(Effect.scoped(reading))
  })

interface Failing {
  readonly times: number
  readonly cause: Cause.Cause<unknown>
}

/** What a promise was rejected with. */
const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

/** The messages from an offset on, in slices. */
const slicesOf = function* (topic: string, partition: number, messages: ReadonlyArray<KafkaMessage>, begin: number) {
  const due = messages.filter(({ offset }) => Number(offset) >= begin)
  for (let at = 0; at < due.length; at += slice) {
    const [first, ...rest] = due.slice(at, at + slice).map((message) => received(topic, partition, message))
    yield [first!, ...rest] as const
  }
}

const received = (topic: string, partition: number, message: KafkaMessage): Received => ({
  topic,
  partition,
  offset: Number(message.offset),
  time: Number(message.timestamp),
  key: message.key === null ? null : message.key.toString(),
  value: message.value,
  headers: headersOf(message.headers),
})

/** Of a name that is there twice the last counts. */
const headersOf = (headers: KafkaMessage["headers"] = {}): Readonly<Record<string, string>> => {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const last = Array.isArray(value) ? value.at(-1) : value
    // Kafka knows headers without a value.
    if (last !== undefined && last !== null) texts[name.toLowerCase()] = last.toString()
  }
  return texts
}
