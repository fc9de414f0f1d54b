import { Schema } from "effect"
import { Instant } from "../../http/Instant.ts"
import { JourneyStep, OrderState } from "../../module/Journey.ts"
import { JourneyGap, ReactionDelivery, UnsentEvent } from "./OrderJourney.ts"

/** A record that a module has among its dead letters, or that was read from the log. */
export const SeenEvent = Schema.Struct({
  topic: Schema.String.annotate({ examples: ["order_created"] }),
  partition: Schema.Natural.annotate({ examples: [2] }),
  offset: Schema.Natural.annotate({ examples: [17] }),
  time: Instant,
  id: Schema.String.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"] }),
  source: Schema.String.annotate({ examples: ["/galleria/order"] }),
  subject: Schema.NullOr(Schema.String.annotate({ examples: ["1"] })),
  key: Schema.NullOr(Schema.String.annotate({ examples: ["1"] })),
  data: Schema.Unknown.annotate({ examples: [{ order_id: 1, user_id: 1 }] }),
  trace_id: Schema.NullOr(Schema.String.annotate({ examples: ["4bf92f3577b34da6a3ce929d0e0e4736"] })),
}).annotate({
  identifier: "SeenEvent",
  description: "An event of the order as it is on the log.",
})
export type SeenEvent = typeof SeenEvent.Type

/** What one module has about an order. */
export const JourneyPart = Schema.Struct({
  module: Schema.String.annotate({ examples: ["order"] }),
  publishes: Schema.Array(Schema.String)
    .annotate({ examples: [["order_created"]] })
    .annotate({ examples: [["order_created"]] })
    .annotate({ description: "The types of its events that name an order." }),
  reactions: Schema.Array(
    Schema.Struct({
      reaction: Schema.String.annotate({ examples: ["order.start"] }),
      type: Schema.String.annotate({ examples: ["order_created"] }),
    }),
  ).annotate({ description: "Its reactions to events that name an order." }),
  user_id: Schema.NullOr(Schema.Natural.annotate({ examples: [1] })),
  order: Schema.NullOr(OrderState),
  history: Schema.Array(
    Schema.Struct({
      id: Schema.String.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"] }),
      type: Schema.String.annotate({ examples: ["order_created"] }),
      time: Instant,
      data: Schema.Unknown,
    }),
  ).pipe(Schema.annotateEncoded({ examples: [[]] })),
  steps: Schema.Array(JourneyStep),
  unsent: Schema.Array(
    Schema.Struct({
      ...UnsentEvent.fields,
      trace_id: Schema.NullOr(Schema.String.annotate({ examples: ["4bf92f3577b34da6a3ce929d0e0e4736"] })),
    }),
  ),
  seen: Schema.Array(SeenEvent).pipe(
    Schema.annotateEncoded({ description: "Events of the order among its open dead letters.", examples: [[]] }),
  ),
  gaps: Schema.Array(Schema.String)
    .annotate({ examples: [[]] })
    .annotate({ examples: [[]] })
    .annotate({ description: "What could not be read, and why." }),
}).annotate({ identifier: "JourneyPart", description: "What one module has about an order." })
export type JourneyPart = typeof JourneyPart.Type

/** Text that a database can store, as the ids and sources of events are. */
const Name = Schema.String.check(
  Schema.makeFilter((text: string) => (/^[^\0]{1,200}$/u.test(text) && text.isWellFormed()) || "expected a name", {
    toJsonSchema: () => ({ minLength: 1, maxLength: 200, pattern: "^[^\\u0000]*$" }),
  }),
)

/** An event whose deliveries are asked for. Without a place only its id and possible sources are known. */
export const AskedEvent = Schema.Struct({
  id: Name.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"] }),
  type: Name.annotate({ examples: ["order_created"] }),
  sources: Schema.Array(Name.annotate({ examples: ["/galleria/order"] })).check(Schema.isMaxLength(4)),
  partition: Schema.NullOr(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2_147_483_647 })).annotate({ examples: [2] }),
  ),
  offset: Schema.NullOr(Schema.Natural.annotate({ examples: [17] })),
}).annotate({ identifier: "AskedEvent", description: "An event whose deliveries are asked for." })
export type AskedEvent = typeof AskedEvent.Type

/** What a reaction made of an event. */
export const FoundDelivery = Schema.Struct({
  event_id: Schema.String.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"] }),
  ...ReactionDelivery.fields,
}).annotate({
  identifier: "FoundDelivery",
  description: "What a reaction made of an event.",
})
export type FoundDelivery = typeof FoundDelivery.Type

/** What is read of the log for a journey: the partitions of the user's key, around these times. */
export const AskedLog = Schema.Struct({
  order_id: Schema.Natural.annotate({ examples: [1] }),
  user_id: Schema.Natural.annotate({ examples: [1] }),
  topics: Schema.Array(Name.annotate({ examples: ["order_created"] })).check(Schema.isMaxLength(200)),
  times: Schema.Array(Schema.Finite.annotate({ examples: [1_767_323_045_678] })).check(Schema.isMaxLength(1_000)),
}).annotate({ identifier: "AskedLog", description: "What is to be read of the log for a journey; times in Unix ms." })
export type AskedLog = typeof AskedLog.Type

/** What was read of the log for a journey. */
export const OnLog = Schema.Struct({
  seen: Schema.Array(SeenEvent).pipe(Schema.annotateEncoded({ examples: [[]] })),
  gaps: Schema.Array(JourneyGap),
}).annotate({ identifier: "OnLog", description: "Events of an order on the log, and what was not read." })
export type OnLog = typeof OnLog.Type
