import { Schema, SchemaTransformation } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Admin } from "../../http/Admin.ts"
import { InstantText } from "../../http/Instant.ts"
import { InvalidCursor, PageQuery } from "../../http/Page.ts"
import { Edge } from "../../http/Problem.ts"
import { hidden } from "../hidden.ts"
import { LoggedEvents } from "../LoggedEvent.ts"

/** A topic, a key or an id of an event. */
const isText = /^[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]{1,200}$/u
const text = (description: string) =>
  Schema.String.check(
    Schema.makeFilter((value: string) => isText.test(value) || "expected 1 to 200 characters", {
      toJsonSchema: () => ({ minLength: 1, maxLength: 200, pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" }),
    }),
  ).annotate({ description })

const OrderId = Schema.String.check(
  Schema.isPattern(/^[1-9]\d{0,15}$/u, { message: "expected the id of an order" }),
).pipe(
  Schema.decodeTo(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })).annotate({
      description: "Only events whose data names this order.",
    }),
    SchemaTransformation.transform({ decode: Number, encode: String }),
  ),
)

export const eventsGroup = HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("list", "/admin/events", {
      query: {
        ...PageQuery,
        topic: Schema.optionalKey(text("Only this topic; left out: all topics of the modules that run here.")),
        key: Schema.optionalKey(text("Only events of this key, the id of a user.")),
        order_id: Schema.optionalKey(OrderId),
        event_id: Schema.optionalKey(text("Only the event with this id, and its copies.")),
        since: Schema.optionalKey(
          InstantText.annotate({ description: "Only records that the log appended then or later." }),
        ),
        personal: hidden,
      },
      success: LoggedEvents,
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List the records on the event log",
        description:
          "Newest first. A call looks at a bounded number of records: a page may have fewer items than `limit`, even none, and a `next_cursor`, by which the next call continues at `scanned_to`.",
      }),
    ),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Events", description: "The records on the event log." }))
