import { Schema } from "effect"
import { Instant } from "../http/Instant.ts"
import { Status } from "./DeadLetters.ts"

/** Dead letters of one cause and status. */
export const CauseGroup = Schema.Struct({
  cause: Schema.String.annotate({
    examples: ["5d41402abc4b2a76"],
    description: "The same for the same reaction, reason and error, numbers aside.",
  }),
  module: Schema.String.annotate({ examples: ["order"] }),
  reaction: Schema.String.annotate({ examples: ["payment.open"] }),
  type: Schema.String.annotate({ examples: ["order_created"] }),
  status: Status,
  reason: Schema.NullOr(Schema.String.annotate({ examples: ["failed"] })),
  error: Schema.NullOr(Schema.String.annotate({ examples: ["no shelf"] })).annotate({
    description: "The error of its newest dead letter.",
  }),
  count: Schema.Natural.annotate({ examples: [38] }),
  capped: Schema.Boolean.annotate({ description: "Whether there are at least `count`.", examples: [false] }),
  keys: Schema.Natural.annotate({
    examples: [12],
    description: "How many keys they hold; of at most 50 dead letters.",
  }),
  waiting: Schema.Natural.annotate({
    examples: [112],
    description: "How many events wait behind these; counted up to 1,000.",
  }),
  first_failed_at: Schema.NullOr(Instant),
  last_failed_at: Schema.NullOr(Instant),
}).annotate({ identifier: "CauseGroup", description: "Dead letters of one cause and status." })
export type CauseGroup = typeof CauseGroup.Type

export const CauseGroups = Schema.Struct({
  checked_at: Instant,
  items: Schema.Array(CauseGroup),
  more: Schema.Natural.annotate({ examples: [0], description: "How many further groups there are." }),
}).annotate({ description: "Groups of dead letters, the largest first." })

/** The most dead letters that one call changes. */
export const mostAtOnce = 500

/** The name of a module, a reaction or a type of event: one that the database can store. */
const isName = /^[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]{1,200}$/u
export const Name = Schema.String.check(
  Schema.makeFilter((text: string) => isName.test(text) || "expected a name", {
    toJsonSchema: () => ({ minLength: 1, maxLength: 200, pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" }),
  }),
)

/** Which dead letters a bulk redrive or discard changes. A member that is left out matches all. */
export const BulkChange = Schema.Struct({
  module: Schema.optionalKey(Name.annotate({ description: "The name of a module.", examples: ["user"] })),
  reaction: Schema.optionalKey(
    Name.annotate({ description: "The name of a reaction.", examples: ["user.record-order"] }),
  ),
  type: Schema.optionalKey(Name.annotate({ description: "A type of event.", examples: ["order_created"] })),
  cause: Schema.optionalKey(Name.annotate({ description: "The cause of a group." })),
  status: Schema.optionalKey(Schema.Literals(["retrying", "parked"])),
  until: Schema.optionalKey(
    Instant.pipe(
      Schema.annotateEncoded({ description: "Only those that first failed until then: the `checked_at` of a list." }),
    ),
  ),
  operation: Schema.optionalKey(
    Schema.String.check(Schema.isUUID()).annotate({
      description: "Names the operation, so that further calls continue it; left out: a new one.",
    }),
  ),
  limit: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mostAtOnce })).annotate({
      description: "How many at most; 0 only counts what remains.",
      default: mostAtOnce,
    }),
  ),
}).annotate({ identifier: "BulkChange", description: "Which dead letters to change." })
export type BulkChange = typeof BulkChange.Type

const changed = {
  operation: Schema.String.annotate({
    examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"],
    description: "Ask `/admin/operations/{id}` what became of them.",
    format: "uuid",
  }),
  remaining: Schema.Natural.annotate({
    examples: [0],
    description: "How many still match and were not changed by this operation; counted up to 10,000.",
  }),
}
export const Redriven = Schema.Struct({ redriven: Schema.Natural.annotate({ examples: [3] }), ...changed }).annotate({
  description: "How many dead letters were redriven, and how many are left.",
})
export const Discarded = Schema.Struct({ discarded: Schema.Natural.annotate({ examples: [3] }), ...changed }).annotate({
  description: "How many dead letters were discarded, and how many are left.",
})

const counts = Schema.Struct({
  applied: Schema.Natural.annotate({ examples: [31], description: "Took effect." }),
  waiting: Schema.Natural.annotate({ examples: [112], description: "Not tried yet." }),
  retrying: Schema.Natural.annotate({ examples: [0], description: "Failed again, and are retried." }),
  parked: Schema.Natural.annotate({ examples: [2], description: "Failed again, and wait for an operator." }),
  discarded: Schema.Natural.annotate({ examples: [0] }),
})

/** What became of the dead letters of a bulk redrive or discard. */
export const Operation = Schema.Struct({
  id: Schema.String.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"], format: "uuid" }),
  action: Schema.Literals(["redrive", "discard"]),
  started_at: Instant,
  actor: Schema.String.annotate({ examples: ["ops"] }),
  counts,
}).annotate({ identifier: "Operation", description: "What became of the dead letters of a redrive or discard." })
export type Operation = typeof Operation.Type
