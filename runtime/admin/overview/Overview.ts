import { Schema } from "effect"
import { mostCounted } from "../../delivery/deadLetterTable.ts"
import { Instant } from "../../http/Instant.ts"
import { mostPending } from "../../outbox/outboxTable.ts"

const Rate = Schema.NullOr(Schema.Finite).annotate({
  description: "A second, since the look before; null on the first look.",
  examples: [14.2],
})
const Count = Schema.Natural.annotate({ examples: [3] })
const moduleName = Schema.String.annotate({ examples: ["order"] })
const release = Schema.String.annotate({ description: "The version of the program.", examples: ["0.3.1"] })
const topic = Schema.String.annotate({ examples: ["order_created"] })

/** A module that answers. */
export const ReachedModule = Schema.Struct({
  module: moduleName,
  state: Schema.Literals(["starting", "ready", "degraded", "unavailable", "stopping"]).annotate({
    description: "The worst of `checks`: `degraded` while something can be done without, `unavailable` else.",
  }),
  release,
  started_at: Instant.pipe(Schema.annotateEncoded({ description: "When its process started." })),
  publishes: Schema.Array(topic).annotate({ description: "The types of its events." }),
  reacts: Schema.Array(topic).annotate({ description: "The types of events that it has reactions to." }),
  checks: Schema.Record(Schema.String, Schema.String).annotate({
    description: "As in `/readyz`: `ok`, or what is wrong.",
    examples: [{ "database.order": "ok" }],
  }),
  outbox: Schema.NullOr(
    Schema.Struct({
      pending: Schema.Natural.annotate({
        description: `Events that are written and not on the log yet; counted up to ${mostPending}.`,
        examples: [0],
      }),
      oldest_age_seconds: Schema.Finite.annotate({ examples: [0] }),
    }),
  ).annotate({ description: "Null when the database does not answer." }),
  consumers: Schema.NullOr(
    Schema.Array(
      Schema.Struct({
        topic,
        lag: Schema.Natural.annotate({ description: "Records that it has not taken charge of yet.", examples: [0] }),
        applied_per_s: Rate,
      }),
    ),
  ).annotate({ description: "The topics that it reads; null when the log or the database does not answer." }),
  dead_letters: Schema.NullOr(Schema.Struct({ retrying: Count, parked: Count, waiting: Count })).annotate({
    description: `Each counted up to ${mostCounted}; null when the database does not answer.`,
  }),
  rates: Schema.Struct({
    published_per_s: Rate,
    applied_per_s: Rate,
    topics: Schema.Array(Schema.Struct({ topic, published_per_s: Rate })).annotate({
      description: "The topics of the events that it publishes.",
    }),
  }).annotate({ description: "Records on the log, and records taken charge of by all instances of the module." }),
}).annotate({ identifier: "ReachedModule", description: "A module that answers." })

/** A module that does not answer. */
export const UnreachableModule = Schema.Struct({
  module: moduleName,
  state: Schema.Literal("unreachable"),
  since: Instant.pipe(Schema.annotateEncoded({ description: "When it first did not answer." })),
  why: Schema.String.annotate({ examples: ["no answer within 1 s"] }),
}).annotate({ identifier: "UnreachableModule", description: "A module that does not answer." })

/** Something that waits, as one sentence of the overview. */
export const Wait = Schema.Struct({
  kind: Schema.Literals(["unsent", "lag", "order", "charge", "refund", "mail"]).annotate({
    description:
      "`unsent`: events not on the log; `lag`: records not taken charge of; `order`: orders that are not processed; `charge`, `refund`, `mail`: calls to the outside.",
  }),
  module: Schema.String.annotate({ description: "The module that is waited for.", examples: ["payment"] }),
  count: Schema.Natural.annotate({ examples: [3] }),
  capped: Schema.Boolean.annotate({ description: "Whether there are at least `count`.", examples: [false] }),
  oldest_at: Schema.NullOr(Instant).annotate({ description: "Since when the oldest waits, if known." }),
  why: Schema.String.annotate({ examples: ["the circuit of the provider is open"] }),
  sample: Schema.Array(Schema.String).annotate({ description: "Ids of some of the orders.", examples: [["4711"]] }),
}).annotate({ identifier: "Wait", description: "What waits, for which module, since when and why." })
export type Wait = typeof Wait.Type

export const Overview = Schema.Struct({
  checked_at: Instant,
  modules: Schema.Array(Schema.Union([ReachedModule, UnreachableModule])),
  waits: Schema.Array(Wait),
}).annotate({ identifier: "Overview", description: "The state of all modules, and what waits." })
export type Overview = typeof Overview.Type
