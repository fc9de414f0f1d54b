import { Schema } from "effect"
import { Instant } from "../http/Instant.ts"

/** A record on the event log. */
export const LoggedEvent = Schema.Struct({
  topic: Schema.String,
  partition: Schema.Natural,
  offset: Schema.Natural,
  time: Instant.pipe(Schema.annotateEncoded({ description: "When the log appended it." })),
  event: Schema.Struct({
    id: Schema.String,
    source: Schema.String,
    type: Schema.String,
    time: Schema.NullOr(Schema.String),
    subject: Schema.NullOr(Schema.String),
    key: Schema.NullOr(Schema.String),
    data: Schema.Unknown.annotateKey({ description: "As received; text where it is not JSON." }),
    headers: Schema.Record(Schema.String, Schema.String),
  }),
})
  .annotate({ identifier: "LoggedEvent", description: "A record on the event log." })
  .pipe(
    Schema.annotateEncoded({
      examples: [
        {
          topic: "order_created",
          partition: 2,
          offset: 17,
          time: "2026-01-02T03:04:05.690Z",
          event: {
            id: "019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968",
            source: "/galleria/order",
            type: "order_created",
            time: "2026-01-02T03:04:05.678Z",
            subject: "1",
            key: "1",
            data: { order_id: 1, user_id: 1 },
            headers: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
          },
        },
      ],
    }),
  )
export type LoggedEvent = typeof LoggedEvent.Type

/** `scanned_to`: everything that was appended later has been looked at; null when all was. */
export const LoggedEvents = Schema.Struct({
  items: Schema.Array(LoggedEvent),
  next_cursor: Schema.NullOr(Schema.String).annotate({
    description: "The `cursor` of the next page; null on the last.",
    examples: [null],
  }),
  scanned_to: Schema.NullOr(Instant).annotate({
    description: "Records appended before this were not looked at; null when all were.",
    examples: [null],
  }),
}).annotate({ description: "A page of records, newest first." })
export type LoggedEvents = typeof LoggedEvents.Type

/** What a search found. */
export const Match = Schema.Struct({
  kind: Schema.Literals(["order", "user", "event", "dead-letter"]),
  id: Schema.String.annotate({ examples: ["1"] }),
  order_id: Schema.optionalKey(Schema.String.annotate({ description: "The order that an event is about." })),
}).annotate({ identifier: "Match", description: "Something that has the id." })
export type Match = typeof Match.Type

export const Matches = Schema.Struct({
  items: Schema.Array(Match),
  gaps: Schema.Array(Schema.String).annotate({
    description: "What could not be searched, and why.",
    examples: [["payment could not be searched in time"]],
  }),
}).annotate({ description: "What has this id." })
