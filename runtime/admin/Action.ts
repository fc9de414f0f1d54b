import { Schema } from "effect"
import { Instant } from "../http/Instant.ts"

/** Something that an operator did. */
export const Action = Schema.Struct({
  id: Schema.String.annotate({ examples: ["019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"], format: "uuid" }),
  at: Instant,
  actor: Schema.String.annotate({
    examples: ["ops"],
    description: "The name that was given, else `token` or `loopback`.",
  }),
  action: Schema.String.annotate({ examples: ["redrive"] }),
  target: Schema.String.annotate({ examples: ["dead letter 019b7f4e-5c3a-7d21-9b1e-3f6a5d0c8e42"] }),
  details: Schema.Record(Schema.String, Schema.Unknown).annotate({ examples: [{ module: "user" }] }),
}).annotate({ identifier: "Action", description: "Something that an operator did." })
export type Action = typeof Action.Type
