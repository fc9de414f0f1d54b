import { Effect, type Scope } from "effect"
import type { Consumer, EachBatchPayload, Kafka } from "kafkajs"
import { EventBusError } from "../EventBus.ts"
import { assigner } from "./assigner.ts"
import { call, retry, rootOf } from "./client.ts"

/** Kafka's session time-out. A transaction that is stuck ends well before. */
const sessionMillis = 10_000

/** How long a rebalance waits for busy members: for any `handle` that ends in time. */
const rebalanceMillis = 35_000

/** Partitions whose batches are handled at once: they share calls of `handle`. */
const concurrently = 64

/** Time-out of leaving a group. */
const leaveWithin = "4 seconds"

/** The partitions of a member, by topic. */
export type Assignment = Readonly<Record<string, ReadonlyArray<number>>>

/** A batch that kafkajs has processed; `firstOffset` is null where it was empty. */
export interface EndedBatch {
  readonly topic: string
  readonly partition: number
  readonly batchSize: number
  readonly firstOffset: string | null
  readonly lastOffset: string
}

export interface Seat {
  /** Why it reads no more; undefined while it does. */
  readonly fault: () => EventBusError | undefined
  /** The time (ms, of `performance.now`) of the last answer to a fetch, end of a batch or join. */
  readonly lastActive: () => number
}

/**
 * Takes a seat in a group, and gives it back with the scope. kafkajs' own restarts are switched off: they go on after
 * a disconnect, and after some failures they never happen. After a `fault` the owner takes a new seat.
 */
export const takeSeat = (options: {
  readonly kafka: () => Kafka
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly eachBatch: (payload: EachBatchPayload) => Promise<void>
  /** Called after each join: the first one, and after each rebalance. */
  readonly joined: (seat: { readonly consumer: Consumer; readonly assignment: Assignment }) => void
  /** Called after each batch, also one without a record for the member. */
  readonly ended: (batch: EndedBatch) => void
  /** Called when there is a `fault`. */
  readonly faulted: () => void
}): Effect.Effect<Seat, EventBusError, Scope.Scope> =>
  Effect.gen(function* () {
    let fault: EventBusError | undefined
    let lastActive = performance.now()
    const consumer = yield* connectedConsumer(options)
    const { CRASH, FETCH, END_BATCH_PROCESS, GROUP_JOIN } = consumer.events
    const active = () => void (lastActive = performance.now())
    consumer.on(FETCH, active)
    consumer.on(END_BATCH_PROCESS, ({ payload }) => {
      options.ended(payload)
      active()
    })
    consumer.on(GROUP_JOIN, ({ payload }) => {
      options.joined({ consumer, assignment: payload.memberAssignment })
      active()
    })
    consumer.on(CRASH, ({ payload }) => {
      fault = new EventBusError({ operation: "consume", cause: rootOf(payload.error) })
      options.faulted()
    })
    yield* call("join a group", "45 seconds", () =>
      consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: concurrently,
        eachBatch: options.eachBatch,
      }),
    )
    // `run` does not reject when the consumer could not join.
    if (fault !== undefined) return yield* fault
    return { fault: () => fault, lastActive: () => lastActive }
  })

/** A consumer that has subscribed to the topics; it leaves its group and disconnects with the scope. */
const connectedConsumer = (options: {
  readonly kafka: () => Kafka
  readonly group: string
  readonly topics: ReadonlyArray<string>
}) =>
  Effect.gen(function* () {
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
    yield* call("connect", "20 seconds", () => consumer.connect())
    yield* call("subscribe", "20 seconds", () =>
      consumer.subscribe({ topics: [...options.topics], fromBeginning: true }),
    )
    return consumer
  })
