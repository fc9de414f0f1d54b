import { Cause, Duration, Effect, Exit, Latch, Result, type Scope, ScopedRef } from "effect"
import type { EachBatchPayload, Kafka } from "kafkajs"
import { loop, Loops } from "../../loop/loop.ts"
import { type End, EventBusError, type Handle, HandleWithin, type Positions } from "../EventBus.ts"
import { handleBatch, type KafkaMember } from "./batch.ts"
import { type Calls, makeCalls } from "./calls.ts"
import { makeMemberPositions } from "./memberPositions.ts"
import { makePauses } from "./pauses.ts"
import { type Seat, takeSeat } from "./seat.ts"

/** An idle member fetches twice a second. One without any answer for this long has stalled. */
const stallMillis = 30_000

interface Options {
  readonly kafka: () => Kafka
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly handle: Handle
  readonly positions?: Positions | undefined
  readonly ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>
  /** Runs before a seat is taken: one missing topic would hold up all. */
  readonly prepare: Effect.Effect<void, EventBusError>
}

/**
 * Reads topics as a member of a group until the scope closes. A loop takes a seat, watches it, and takes a new one when it
 * is lost, for as long as the broker is away. Returns at once.
 */
export const readAsMember = (options: Options) =>
  Effect.gen(function* () {
    const loops = yield* Loops
    const name = `${options.group}.consumer`
    const wake = Latch.makeUnsafe(true)
    const deadlineMillis = Duration.toMillis(yield* HandleWithin)
    const { positions } = options
    const member: KafkaMember = {
      calls: makeCalls(options.handle, deadlineMillis),
      pauses: makePauses(() => wake.openUnsafe()),
      positions: positions === undefined ? undefined : yield* makeMemberPositions(positions, options.ends),
      deadlineMillis,
      lost: undefined,
    }
    const reading = Effect.gen(function* () {
      const eachBatch = yield* batchHandler(member)
      const turn = yield* makeTurn(member, {
        prepare: options.prepare,
        take: takeSeat({
          ...options,
          eachBatch,
          joined: ({ consumer, assignment }) => {
            member.lost = undefined
            member.pauses.clear()
            member.positions?.joined(consumer, assignment)
          },
          ended: (batch) => member.positions?.ended(batch),
          faulted: () => wake.openUnsafe(),
        }),
        taken: loops.faltered(name, undefined),
      })
      yield* loop({ name, turn, wake, poll: "1 second" })
    })
    yield* loops.faltered(name, "it has not joined its group yet")
    yield* Effect.forkScoped(Effect.scoped(reading))
  })

/** `handleBatch` for kafkajs. It rejects when the seat is lost, and is interrupted when the scope closes. */
const batchHandler = (member: KafkaMember) =>
  Effect.gen(function* () {
    const run = Effect.runPromiseExitWith(yield* Effect.context())
    const closed = new AbortController()
    yield* Effect.addFinalizer(() => Effect.sync(() => closed.abort()))
    return async (payload: EachBatchPayload): Promise<void> => {
      const exit = await run(Effect.result(handleBatch(member, payload)), { signal: closed.signal })
      if (Exit.isSuccess(exit) && Result.isFailure(exit.value)) throw exit.value.failure
      // kafkajs retries a batch that rejects at once, so after a defect the partition is paused.
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) member.pauses.failed(payload, exit.cause)
    }
  })

/**
 * One turn of a member: takes a seat where there is none, and fails, which gives the seat back, when it is lost. Fails
 * without giving it back while `handle` fails for a partition, so that the failure is reported.
 */
const makeTurn = (
  member: KafkaMember,
  seats: {
    readonly prepare: Effect.Effect<void, EventBusError>
    readonly take: Effect.Effect<Seat, EventBusError, Scope.Scope>
    readonly taken: Effect.Effect<void>
  },
) =>
  Effect.gen(function* () {
    const seat = yield* ScopedRef.fromAcquire(Effect.succeed(undefined as Seat | undefined))
    const giveBack = ScopedRef.set(seat, Effect.succeed(undefined))
    const watched = Effect.gen(function* () {
      if ((yield* ScopedRef.get(seat)) === undefined) {
        yield* seats.prepare
        yield* ScopedRef.set(seat, seats.take)
        yield* seats.taken
      }
      yield* checkSeat((yield* ScopedRef.get(seat))!, member.calls)
    }).pipe(Effect.onError(() => giveBack))
    const handled = Effect.suspend(() => {
      const cause = member.pauses.cause()
      return cause === undefined ? Effect.succeed(false) : Effect.failCause(cause)
    })
    return Effect.andThen(watched, handled)
  })

/** Fails when a seat is lost: it reports a fault, a call of `handle` hangs, or Kafka does not respond. */
const checkSeat = (seat: Seat, calls: Calls) =>
  Effect.gen(function* () {
    const fault = seat.fault()
    if (fault !== undefined) return yield* fault
    if (calls.foundHanging()) return yield* lostBecause("a call of handle does not end")
    // A new seat lets the other partitions go on once. With a second call that hangs the loop stands still, so that
    // `/livez` fails.
    while (calls.hanging() > 1) yield* Effect.sleep("1 second")
    if (calls.isIdle() && performance.now() - seat.lastActive() > stallMillis) {
      return yield* lostBecause(`Kafka has not responded for ${stallMillis / 1_000} s`)
    }
  })

const lostBecause = (reason: string) => new EventBusError({ operation: "consume", cause: new Error(reason) })
