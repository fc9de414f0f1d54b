import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { hidden } from "./hidden.ts"
import { auditGroup } from "./audit/api.ts"
import { eventsGroup } from "./events/api.ts"
import { Admin } from "../http/Admin.ts"
import { Instant } from "../http/Instant.ts"
import { InvalidCursor, page, PageQuery } from "../http/Page.ts"
import { declare, Edge } from "../http/Problem.ts"
import { Action } from "./Action.ts"
import { DeadLetter, DeadLetterInList, Status } from "./DeadLetters.ts"
import { BulkChange, CauseGroups, Discarded, Name, Operation, Redriven } from "./Operation.ts"
import { Replay } from "../delivery/replay.ts"
import { journeyGroup } from "./journey/api.ts"
import { searchGroup } from "./search/api.ts"
import { overviewGroup } from "./overview/api.ts"

export class DeadLetterNotFound extends declare<DeadLetterNotFound>()("DeadLetterNotFound", {
  slug: "dead-letter-not-found",
  status: 404,
  title: "Dead letter not found",
  detail: "There is no dead letter with this id.",
}) {}

export class OperationNotFound extends declare<OperationNotFound>()("OperationNotFound", {
  slug: "operation-not-found",
  status: 404,
  title: "Operation not found",
  detail: "No bulk change with this id has changed a dead letter.",
}) {}

export class ReactionNotFound extends declare<ReactionNotFound>()("ReactionNotFound", {
  slug: "reaction-not-found",
  status: 404,
  title: "Reaction not found",
  detail: "No module in this process has a reaction with this name.",
}) {}

export class ReactionNotResettable extends declare<ReactionNotResettable>()("ReactionNotResettable", {
  slug: "reaction-not-resettable",
  status: 409,
  title: "Reaction not resettable",
  detail: "This reaction cannot undo what it did; replay it without a reset.",
}) {}

export class ResetRunning extends declare<ResetRunning>()("ResetRunning", {
  slug: "reset-running",
  status: 409,
  title: "Reset running",
  detail: "This reaction is being reset already; see the running replay.",
}) {}

export class LogNotWhole extends declare<LogNotWhole>()(
  "LogNotWhole",
  {
    slug: "log-not-whole",
    status: 409,
    title: "Log not whole",
    detail: "The event log has pruned records of this topic: a reset could not rebuild what it undoes.",
  },
  {
    since: Schema.String.annotate({
      description: "When the log took the oldest record that it has.",
      examples: ["2026-01-02T03:04:05.000Z"],
    }),
  },
) {}

const reaction = Name.annotate({ description: "The name of a reaction.", examples: ["user.record-order"] })
const type = Name.annotate({ description: "A type of event.", examples: ["order_created"] })
const which = {
  module: Schema.optionalKey(Name.annotate({ description: "The name of a module.", examples: ["user"] })),
  reaction: Schema.optionalKey(reaction),
}

const one = {
  params: { id: Schema.String.check(Schema.isUUID()).annotate({ description: "The id of the dead letter." }) },
  success: DeadLetter,
  error: DeadLetterNotFound,
}

const changed = { ...one, query: { personal: hidden } }

const OtherData = Schema.Struct({
  data: Schema.Unknown.annotateKey({
    description: "The event's data. Its text is kept as it is, such as the digits of a long number.",
  }),
})
  .annotate({ identifier: "OtherData", description: "Data that takes the place of the event's own." })
  .pipe(Schema.annotateEncoded({ examples: [{ data: { order_id: 1, user_id: 1, amount: "100.50" } }] }))

const deadLetters = HttpApiGroup.make("deadLetters")
  .add(
    HttpApiEndpoint.get("list", "/admin/dead-letters", {
      query: {
        ...PageQuery,
        ...which,
        status: Schema.optionalKey(Status),
        type: Schema.optionalKey(type),
        cause: Schema.optionalKey(Name.annotate({ description: "The cause of a group." })),
        personal: hidden,
        brief: Schema.optionalKey(
          Schema.Literals(["", "true"]).annotate({ description: "Leaves out data and headers." }),
        ),
      },
      success: Schema.Struct({ checked_at: Instant, ...page(DeadLetterInList).fields }).annotate({
        description: "A page of the list. `checked_at` is before it was read.",
      }),
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List dead letters",
        description: "Newest first. Without `status`: those that have not ended, `retrying` and `parked`.",
      }),
    ),
    HttpApiEndpoint.get("get", "/admin/dead-letters/:id", {
      ...one,
      query: {
        personal: Schema.optionalKey(
          Schema.Literals(["hide", "show"]).annotate({
            description: "`hide`: without personal data; `show`: with it, which is listed among the actions.",
          }),
        ),
      },
    }).annotateMerge(OpenApi.annotations({ summary: "Get a dead letter" })),
    HttpApiEndpoint.post("redrive", "/admin/dead-letters/:id/redrive", {
      ...changed,
      payload: [HttpApiSchema.NoContent, OtherData],
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Redrive a dead letter",
        description:
          "Retries it now, with all its attempts; with a body, on other data, which must satisfy the event's schema. One that has ended stays as it is, which is a success.",
      }),
    ),
    HttpApiEndpoint.post("discard", "/admin/dead-letters/:id/discard", changed).annotateMerge(
      OpenApi.annotations({
        summary: "Discard a dead letter",
        description:
          "Its event never takes effect, and its key goes on with the next. One that has ended stays as it is, which is a success.",
      }),
    ),
    HttpApiEndpoint.get("groups", "/admin/dead-letters/groups", {
      query: {
        ...which,
        status: Schema.optionalKey(
          Schema.Literals(["retrying", "parked"]).annotate({ description: "Only those with this status." }),
        ),
        type: Schema.optionalKey(type),
      },
      success: CauseGroups,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Group dead letters by cause",
        description: "Those that have not ended, the largest group first; at most 200 groups of each module.",
      }),
    ),
    HttpApiEndpoint.post("redriveAll", "/admin/dead-letters/redrive", {
      payload: [HttpApiSchema.NoContent, BulkChange],
      success: Redriven,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Redrive all dead letters that match",
        description:
          "At most `limit` in one call; call again with the same `operation` until `remaining` is 0. Events of one key keep their order. The body may be left out.",
      }),
    ),
    HttpApiEndpoint.post("discardAll", "/admin/dead-letters/discard", {
      payload: [HttpApiSchema.NoContent, BulkChange],
      success: Discarded,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Discard all dead letters that match",
        description:
          "At most `limit` in one call; call again with the same `operation` until `remaining` is 0. The body may be left out.",
      }),
    ),
    HttpApiEndpoint.get("operation", "/admin/operations/:id", {
      params: { id: Schema.String.check(Schema.isUUID()).annotate({ description: "The id of the operation." }) },
      success: Operation,
      error: OperationNotFound,
    }).annotateMerge(OpenApi.annotations({ summary: "Get what became of the dead letters of a bulk change" })),
    HttpApiEndpoint.get("actions", "/admin/actions", {
      query: PageQuery,
      success: page(Action),
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List what operators did",
        description: "Newest first. The name of an operator is sent in `X-Actor`.",
      }),
    ),
  )
  .add(
    HttpApiEndpoint.post("replay", "/admin/replays", {
      payload: Schema.Struct({
        reaction,
        from: Schema.optionalKey(
          Instant.pipe(
            Schema.annotateEncoded({ description: "Since when; left out: from the beginning of its topic." }),
          ),
        ),
        reset: Schema.optionalKey(
          Schema.Boolean.annotate({
            description:
              "Whether the reaction first undoes what it did, as a projection can. Not together with `from`.",
            default: false,
          }),
        ),
      }).check(
        Schema.makeFilter(
          ({ from, reset }) =>
            from === undefined || reset !== true || { path: ["from"], issue: "expected no time beside a reset" },
        ),
      ),
      success: HttpApiSchema.WithHeaders(Replay.pipe(HttpApiSchema.status(202)), {
        location: Schema.String.annotate({ description: "The address of its progress." }),
      }),
      error: [ReactionNotFound, ReactionNotResettable, ResetRunning, LogNotWhole],
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Let a reaction read its topic again",
        description: "Runs beside normal processing. `Location` is the address of its progress.",
      }),
    ),
    HttpApiEndpoint.get("replayed", "/admin/replays/:reaction", {
      params: { reaction },
      success: Replay,
      error: ReactionNotFound,
    }).annotateMerge(OpenApi.annotations({ summary: "Get the progress of a replay" })),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(
    OpenApi.annotations({
      title: "Dead letters",
      description: "Events that a reaction could not handle, to look at, redrive or discard; and replays.",
    }),
  )

export const api = HttpApi.make("galleria")
  .add(deadLetters)
  .add(auditGroup)
  .add(eventsGroup)
  .add(overviewGroup)
  .add(journeyGroup)
  .add(searchGroup)
  .annotate(HttpApi.ParseOptions, { errors: "all" })
