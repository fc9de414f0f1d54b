import { Cause, Deferred, Duration, Effect, Exit, Latch, Result, Schedule, type Scope, ScopedRef } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Consumer, EachBatchPayload, Kafka, KafkaMessage } from "kafkajs"
import { loop, Loops } from "../../module/loop.ts"
import { EventBusError, type Handle, HandledTooLate, HandleWithin, type Received } from "../EventBus.ts"
import { restMillis } from "../rest.ts"
import { assigner } from "./assigner.ts"
import { call, retry, rootOf, typeOf } from "./client.ts"

/** Whoever is not heard of for that long has left its group. A transaction that stands still ends well before. */
const sessionMillis = 10_000

/** Records in one call of `handle`: not so many that a rebalance waits long. */
const slice = 500

/** How long a rebalance waits for those who are busy: for any `handle` that ends in time. */
const rebalanceMillis = 35_000

/** Within this after it was interrupted a `handle` has ended, or it never will. */
const graceMillis = 5_000

/** A member that is at rest fetches twice a second. */
const stallMillis = 30_000

/** Closing waits that long for what is being handled; then it is interrupted, and its records come again. */
const closeWithin = "4 seconds"

interface Seat {
  readonly consumer: Consumer
  /** Why it reads no more; undefined while it does. */
  readonly fault: () => EventBusError | undefined
  /** The partitions that it has, by topic. */
  readonly assigned: () => Readonly<Record<string, ReadonlyArray<number>>>
  /** When it last heard of Kafka, or finished something (ms). */
  readonly heard: () => number
}

/**
 * Takes a seat in a group, and gives it back with the scope. kafkajs' own restarts are switched off: they go on after
 * a disconnect, and after some failures they never come. Whoever finds a `fault` takes a new seat.
 */
export const takeSeat = (options: {
  readonly kafka: () => Kafka
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly claims: boolean
  readonly eachBatch: (payload: EachBatchPayload) => Promise<void>
  /** Called after each join, the first and those that rebalances bring. */
  readonly joined?: () => void
  /** Called when there is a fault to be seen. */
  readonly faulted?: () => void
}): Effect.Effect<Seat, EventBusError, Scope.Scope> =>
  Effect.gen(function* () {
    let fault: EventBusError | undefined
    let heard = performance.now()
    let assigned: Readonly<Record<string, ReadonlyArray<number>>> = {}
    const consumer = yield* Effect.acquireRelease(
      Effect.sync(() =>
        options.kafka().consumer({
          groupId: options.group,
          sessionTimeout: sessionMillis,
          rebalanceTimeout: rebalanceMillis,
          heartbeatInterval: 1_000,
          maxWaitTimeInMs: 500,
          metadataMaxAge: 10_000,
          allowAutoTopicCreation: false,
          partitionAssigners: [assigner({ claims: options.claims })],
          retry: { ...retry, restartOnFailure: () => Promise.resolve(false) },
        }),
      ),
      (consumer) => Effect.ignore(call("leave a group", closeWithin, () => consumer.disconnect())),
    )
    const { CRASH, FETCH, END_BATCH_PROCESS, GROUP_JOIN } = consumer.events
    const hear = () => void (heard = performance.now())
    consumer.on(FETCH, hear)
    consumer.on(END_BATCH_PROCESS, hear)
    consumer.on(GROUP_JOIN, ({ payload }) => {
      assigned = payload.memberAssignment
      options.joined?.()
      hear()
    })
    consumer.on(CRASH, ({ payload }) => {
      fault = new EventBusError({ operation: "consume", cause: rootOf(payload.error) })
      options.faulted?.()
    })
    yield* call("connect", "20 seconds", () => consumer.connect())
    yield* call("subscribe", "20 seconds", () =>
      consumer.subscribe({ topics: [...options.topics], fromBeginning: true }),
    )
    yield* call("join a group", "45 seconds", () =>
      consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 3,
        eachBatch: options.eachBatch,
      }),
    )
    // It does not reject when it could not join.
    if (fault !== undefined) return yield* fault
    return { consumer, fault: () => fault, assigned: () => assigned, heard: () => heard }
  })

/**
 * Reads topics as a member of a group until the scope closes, whatever becomes of the broker: a loop takes a seat, looks
 * after it, and takes a new one when it is lost. Returns at once.
 */
export const readAsMember = (options: {
  readonly kafka: () => Kafka
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly handle: Handle
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

    const guarded = (records: NonEmptyReadonlyArray<Received>, evicted: Deferred.Deferred<never, unknown>) =>
      Effect.suspend(() => {
        const call = {}
        busy.set(call, performance.now())
        const ended = Effect.sync(() => void (busy.delete(call), hung.delete(call)))
        return options.handle(records).pipe(
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
      const times = (failing.get(placeOf(payload))?.times ?? 0) + 1
      failing.set(placeOf(payload), { times, cause })
      const resume = payload.pause()
      setTimeout(() => void errorOf(Promise.resolve().then(resume)), restMillis(times))
      wake.openUnsafe()
    }

    /** Handles one batch, slice by slice; fails with what kafkajs has to know of: that the seat is lost. */
    const take = (payload: EachBatchPayload) =>
      Effect.gen(function* () {
        const { topic, partition, messages } = payload.batch
        const evicted = yield* Deferred.make<never, unknown>()
        let since = performance.now()
        const beat = Effect.gen(function* () {
          // A `handle` that ignores its deadline does not keep its partition.
          if (performance.now() - since > deadlineMillis) return
          const refused = yield* Effect.promise(() => errorOf(payload.heartbeat()))
          if (refused === undefined) return
          lost ??= refused
          // A rebalance waits for what is being handled, as long as the heart beats; whoever was evicted has nothing to
          // finish.
          if (typeOf(refused) !== "REBALANCE_IN_PROGRESS") yield* Deferred.fail(evicted, refused)
        })
        yield* Effect.forkChild(Effect.repeat(beat, Schedule.spaced("1 second")))

        let next: number | undefined
        for (const records of slicesOf(topic, partition, messages)) {
          if (!payload.isRunning() || payload.isStale() || lost !== undefined) break
          since = performance.now()
          const exit = yield* guarded(records, evicted)
          if (Exit.isFailure(exit)) {
            rest(payload, exit.cause)
            break
          }
          failing.delete(placeOf(payload))
          next = records.at(-1)!.offset + 1
          payload.resolveOffset(String(next - 1))
        }
        if (next !== undefined) {
          const offsets = { topics: [{ topic, partitions: [{ partition, offset: String(next) }] }] }
          // Not `consumer.commitOffsets`, which does nothing, and tells nobody, once the consumer stops. While a
          // rebalance waits for us it is still taken, which spares the next a copy.
          const refused = yield* Effect.promise(() => errorOf(payload.commitOffsetsIfNecessary(offsets)))
          lost ??= refused
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
      const joined = () => {
        lost = undefined
        // Whoever has those partitions now will see for himself.
        failing.clear()
      }
      const sit = takeSeat({ ...options, claims: false, eachBatch, joined, faulted: () => wake.openUnsafe() })
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

const placeOf = ({ batch }: EachBatchPayload) => `${batch.topic}/${batch.partition}`

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

const slicesOf = function* (topic: string, partition: number, messages: ReadonlyArray<KafkaMessage>) {
  for (let at = 0; at < messages.length; at += slice) {
    const [first, ...rest] = messages.slice(at, at + slice).map((message) => received(topic, partition, message))
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
