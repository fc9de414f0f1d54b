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
}).annotate({ identifier: "LoggedEvent", description: "A record on the event log." })
export type LoggedEvent = typeof LoggedEvent.Type

/** `scanned_to`: everything that was appended later has been looked at; null when all was. */
export const LoggedEvents = Schema.Struct({
  items: Schema.Array(LoggedEvent),
  next_cursor: Schema.NullOr(Schema.String).annotate({
    description: "The `cursor` of the next page; null on the last.",
  }),
  scanned_to: Schema.NullOr(Instant).annotate({
    description: "Records appended before this were not looked at; null when all were.",
  }),
}).annotate({ description: "A page of records, newest first." })
export type LoggedEvents = typeof LoggedEvents.Type

/** What a search found. */
export const Match = Schema.Struct({
  kind: Schema.Literals(["order", "user", "event", "dead-letter"]),
  id: Schema.String,
  order_id: Schema.optionalKey(Schema.String.annotate({ description: "The order that an event is about." })),
}).annotate({ identifier: "Match", description: "Something that has the id." })
export type Match = typeof Match.Type

export const Matches = Schema.Struct({
  items: Schema.Array(Match),
  gaps: Schema.Array(Schema.String).annotate({ description: "What could not be searched, and why." }),
}).annotate({ description: "What has this id." })
