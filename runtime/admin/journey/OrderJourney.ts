import { Schema } from "effect"
import { Instant } from "../../http/Instant.ts"
import { JourneyStep, OrderState } from "../../module/Journey.ts"

const moduleName = Schema.String.annotate({ examples: ["order"] })

/** An event for one reaction, as it stands. */
export const ReactionDelivery = Schema.Struct({
  module: moduleName,
  reaction: Schema.String.annotate({ examples: ["payment.open"] }),
  status: Schema.Literals([
    "applied",
    "pending",
    "waiting",
    "unknown",
    "retrying",
    "parked",
    "resolved",
    "redriven",
    "discarded",
  ]).annotate({
    description:
      "`pending`: not taken charge of yet; `waiting`: behind an earlier event of its key; `unknown`: its module could not be asked; else as of dead letters.",
  }),
  at: Schema.NullOr(Instant).annotate({ description: "When it got this status; null while it is pending or unknown." }),
  attempts: Schema.Natural.annotate({ examples: [0] }),
  dead_letter_id: Schema.optionalKey(Schema.String.annotate({ format: "uuid" })),
}).annotate({ identifier: "ReactionDelivery", description: "An event for one reaction." })
export type ReactionDelivery = typeof ReactionDelivery.Type

const EventShown = Schema.Struct({
  id: Schema.String.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"] }),
  source: Schema.NullOr(Schema.String.annotate({ examples: ["/galleria/order"] })).annotate({
    description: "Null when only the order's history has the event.",
  }),
  type: Schema.String.annotate({ examples: ["order_created"] }),
  subject: Schema.NullOr(Schema.String.annotate({ examples: ["1"] })),
  key: Schema.NullOr(Schema.String.annotate({ examples: ["1"] })),
  data: Schema.Unknown.annotate({ examples: [{ order_id: 1, user_id: 1 }] }),
}).annotate({
  examples: [
    {
      id: "019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968",
      source: "/galleria/order",
      type: "order_created",
      subject: "1",
      key: "1",
      data: { order_id: 1, user_id: 1 },
    },
  ],
})

/** An event of an order, and its deliveries. */
export const JourneyEvent = Schema.Struct({
  module: Schema.NullOr(moduleName).annotate({ description: "The module that wrote it; null: another program." }),
  topic: Schema.String.annotate({ examples: ["order_created"] }),
  partition: Schema.NullOr(Schema.Natural.annotate({ examples: [2] })).annotate({
    description: "Null when it was not found on the log.",
  }),
  offset: Schema.NullOr(Schema.Natural.annotate({ examples: [17] })).annotate({
    description: "Null when it was not found on the log.",
  }),
  time: Instant,
  event: EventShown,
  deliveries: Schema.Array(ReactionDelivery),
}).annotate({ identifier: "JourneyEvent", description: "An event of an order, and what its reactions made of it." })
export type JourneyEvent = typeof JourneyEvent.Type

/** An event that is written and not on the log yet. */
export const UnsentEvent = Schema.Struct({
  module: moduleName,
  type: Schema.String.annotate({ examples: ["order_created"] }),
  age_seconds: Schema.Finite.annotate({ examples: [1.5] }),
}).annotate({ identifier: "UnsentEvent", description: "An event that is written and not on the log yet." })

/** A part of the journey that is missing. */
export const JourneyGap = Schema.Struct({
  module: Schema.optionalKey(moduleName),
  topic: Schema.optionalKey(Schema.String),
  why: Schema.String.annotate({ examples: ["no answer within 1 s"] }),
}).annotate({ identifier: "JourneyGap", description: "A part of the journey that is missing, and why." })
export type JourneyGap = typeof JourneyGap.Type

export const OrderJourney = Schema.Struct({
  order_id: Schema.Natural.annotate({ examples: [1] }),
  user_id: Schema.NullOr(Schema.Natural.annotate({ examples: [1] })),
  trace_ids: Schema.Array(Schema.String).annotate({ examples: [["4bf92f3577b34da6a3ce929d0e0e4736"]] }),
  events: Schema.Array(JourneyEvent).annotate({ description: "In the order of their time on the log." }),
  unsent: Schema.Array(UnsentEvent),
  order: Schema.NullOr(OrderState).annotate({ description: "Null when the module order could not be asked." }),
  steps: Schema.Array(
    Schema.Struct({ module: moduleName, ...JourneyStep.fields }).annotate({
      identifier: "ModuleStep",
      description: "What a module does for the order beside its events.",
    }),
  ).annotate({ description: "In the order of their begin." }),
  gaps: Schema.Array(JourneyGap).annotate({ description: "What is missing; empty when the journey is whole." }),
}).annotate({ identifier: "OrderJourney", description: "The journey of one order over all modules." })
export type OrderJourney = typeof OrderJourney.Type
