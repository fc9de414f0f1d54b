import { Effect } from "effect"
import type { Producer } from "kafkajs"
import { monotonicMillis } from "../../loop/monotonic.ts"
import type { EventBus, EventBusError, Outgoing } from "../EventBus.ts"
import { type Renewable, typeOf } from "./client.ts"
import { messageOf, requestsOf } from "./records.ts"
import type { Topics } from "./topics.ts"

/** A failed sender retries within this (`backOff`). */
const retriedWithin = 15_000

export interface Sender {
  /** `EventBus.send`. */
  readonly send: EventBus["Service"]["send"]
  /**
   * Fails with the last error of a topic to which no send has succeeded since. An error expires when this process stops
   * retrying, as when another instance has taken over the relay.
   */
  readonly healthy: Effect.Effect<void, EventBusError>
}

/** Sends records, and remembers which topics cannot be sent to. */
export const makeSender = (producer: Renewable<Producer>, topics: Topics): Sender => {
  /** By topic: the last error and its time. */
  const failed = new Map<string, { readonly error: EventBusError; readonly at: number }>()
  let sending = 0
  return {
    send: (records) =>
      Effect.acquireUseRelease(
        Effect.sync(() => sending++),
        () =>
          Effect.forEach(requestsOf(records), (request) => sendRequest(producer, topics, request), { discard: true }),
        () => Effect.sync(() => sending--),
      ).pipe(
        Effect.tap(() => Effect.sync(() => topicsOf(records).forEach((topic) => failed.delete(topic)))),
        Effect.tapError((error) =>
          Effect.map(monotonicMillis, (at) => topicsOf(records).forEach((topic) => failed.set(topic, { error, at }))),
        ),
      ),
    healthy: Effect.flatMap(monotonicMillis, (now) => {
      for (const { error, at } of failed.values())
        if (sending > 0 || now - at < retriedWithin) return Effect.fail(error)
      return Effect.void
    }),
  }
}

/** Sends records in one request. One that is too large is sent in halves; for a deleted topic the topics are restored. */
const sendRequest = (
  producer: Renewable<Producer>,
  topics: Topics,
  records: ReadonlyArray<Outgoing>,
): Effect.Effect<void, EventBusError> =>
  producer
    .use("send", "30 seconds", (client) =>
      client.sendBatch({
        acks: -1,
        timeout: 5_000,
        topicMessages: [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, records]) => ({
          topic,
          messages: records.map(messageOf),
        })),
      }),
    )
    .pipe(
      Effect.asVoid,
      Effect.catch((error) => {
        const type = typeOf(error.cause)
        if (type === "MESSAGE_TOO_LARGE" && records.length > 1) {
          const middle = records.length >> 1
          const halves = [records.slice(0, middle), records.slice(middle)]
          return Effect.forEach(halves, (half) => sendRequest(producer, topics, half), { discard: true })
        }
        const isDeleted = type === "UNKNOWN_TOPIC_OR_PARTITION" && records.some(({ topic }) => topics.isEnsured(topic))
        return Effect.andThen(isDeleted ? Effect.ignore(topics.restore) : Effect.void, Effect.fail(error))
      }),
    )

const topicsOf = (records: ReadonlyArray<Outgoing>) => new Set(records.map(({ topic }) => topic))
