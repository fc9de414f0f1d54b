import { Context, Effect } from "effect"
import { isExported, type Place, placeOf, traced, type TracedWork } from "./trace.ts"

/** The `messaging.system` of spans: the kind of broker; the default is the embedded log. */
export const MessagingSystem = Context.Reference<string>("galleria/MessagingSystem", {
  defaultValue: () => "galleria",
})

interface Message {
  readonly headers: Readonly<Record<string, string>>
}

/** The trace context in which the event of a record was written. */
export const placeOfRecord = ({ headers }: Message): Place | undefined => placeOf(headers["traceparent"])

const placesOf = (messages: ReadonlyArray<Message>) => messages.flatMap((message) => placeOfRecord(message) ?? [])

/** By the semantic conventions for messaging: the id of a single message, or the number of several. */
const about = (system: string, destination: string, messages: ReadonlyArray<string | undefined>) => ({
  "messaging.system": system,
  "messaging.destination.name": destination,
  ...(messages.length > 1
    ? { "messaging.batch.message_count": messages.length }
    : messages[0] === undefined
      ? {}
      : { "messaging.message.id": messages[0] }),
})

const send = (system: string, topic: string, messages: ReadonlyArray<Message>): TracedWork => ({
  name: `publish ${topic}`,
  kind: "producer",
  causes: placesOf(messages),
  attributes: {
    ...about(
      system,
      topic,
      messages.map(({ headers }) => headers["ce_id"]),
    ),
    "messaging.operation.name": "publish",
    "messaging.operation.type": "send",
  },
})

/** Sends records, with a span for each topic that follows from the spans in which the events were written. */
export const publishing =
  (records: ReadonlyArray<Message & { readonly topic: string }>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) =>
      isExported(fiber)
        ? [...Map.groupBy(records, ({ topic }) => topic)].reduce(
            (inner, [topic, messages]) => traced(send(fiber.getRef(MessagingSystem), topic, messages), () => inner),
            Effect.withTracerEnabled(work, false),
          )
        : work,
    )

/** Runs a reaction in a span that follows from its events. */
export const processing =
  (options: {
    readonly module: string
    readonly reaction: string
    readonly messages: ReadonlyArray<{
      readonly event: { readonly id: string }
      readonly record: Message & { readonly topic: string }
    }>
  }) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(MessagingSystem, (system) => {
      const { module, reaction, messages } = options
      const topic = messages[0]!.record.topic
      const process: TracedWork = {
        name: `process ${topic}`,
        kind: "consumer",
        causes: placesOf(messages.map(({ record }) => record)),
        attributes: {
          ...about(
            system,
            topic,
            messages.map(({ event }) => event.id),
          ),
          "messaging.operation.name": "process",
          "messaging.operation.type": "process",
          "messaging.consumer.group.name": `${module}_service_group`,
          "galleria.reaction": reaction,
        },
      }
      return traced(process, () => work)
    })
