import { Effect, type Scope } from "effect"
import type { Consumer, EachBatchPayload, Kafka } from "kafkajs"
import { EventBusError } from "../EventBus.ts"
import { assigner } from "./assigner.ts"
import { call, retry, rootOf } from "./client.ts"

/** A member that Kafka has not heard of for that long has left its group. A transaction that stands still ends well before. */
const sessionMillis = 10_000

/** How long a rebalance waits for members that are busy: for any `handle` that ends in time. */
const rebalanceMillis = 35_000

/** Leaving a group may take this long. */
const leaveWithin = "4 seconds"

/** The partitions of a member, by topic. */
export type Assignment = Readonly<Record<string, ReadonlyArray<number>>>

/** A batch that kafkajs is done with; `firstOffset` is null where it was empty. */
export interface EndedBatch {
  readonly topic: string
  readonly partition: number
  readonly batchSize: number
  readonly firstOffset: string | null
  readonly lastOffset: string
}

export interface Seat {
  readonly consumer: Consumer
  /** Why it reads no more; undefined while it does. */
  readonly fault: () => EventBusError | undefined
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
  readonly eachBatch: (payload: EachBatchPayload) => Promise<void>
  /** Called after each join, the first and those that rebalances bring. */
  readonly joined?: (seat: { readonly consumer: Consumer; readonly assignment: Assignment }) => void
  /** Called after each batch, those that held no record for a member included. */
  readonly ended?: (batch: EndedBatch) => void
  /** Called when there is a fault to be seen. */
  readonly faulted?: () => void
}): Effect.Effect<Seat, EventBusError, Scope.Scope> =>
  Effect.gen(function* () {
    let fault: EventBusError | undefined
    let heard = performance.now()
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
          partitionAssigners: [assigner],
          retry: { ...retry, restartOnFailure: () => Promise.resolve(false) },
        }),
      ),
      (consumer) => Effect.ignore(call("leave a group", leaveWithin, () => consumer.disconnect())),
    )
    const { CRASH, FETCH, END_BATCH_PROCESS, GROUP_JOIN } = consumer.events
    const hear = () => void (heard = performance.now())
    consumer.on(FETCH, hear)
    consumer.on(END_BATCH_PROCESS, ({ payload }) => {
      options.ended?.(payload)
      hear()
    })
    consumer.on(GROUP_JOIN, ({ payload }) => {
      options.joined?.({ consumer, assignment: payload.memberAssignment })
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
    return { consumer, fault: () => fault, heard: () => heard }
  })
