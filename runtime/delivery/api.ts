import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Admin } from "../http/Admin.ts"
import { InvalidCursor, page, PageQuery } from "../http/Page.ts"
import { declare, Edge } from "../http/Problem.ts"
import { DeadLetter, Instant, Status } from "./DeadLetters.ts"
import { Replay } from "./replay.ts"

export class DeadLetterNotFound extends declare<DeadLetterNotFound>()("DeadLetterNotFound", {
  slug: "dead-letter-not-found",
  status: 404,
  title: "Dead letter not found",
  detail: "No event that stepped aside has this id.",
}) {}

export class ReactionNotFound extends declare<ReactionNotFound>()("ReactionNotFound", {
  slug: "reaction-not-found",
  status: 404,
  title: "Reaction not found",
  detail: "No module that runs here has a reaction of this name.",
}) {}

export class ReactionNotResettable extends declare<ReactionNotResettable>()("ReactionNotResettable", {
  slug: "reaction-not-resettable",
  status: 409,
  title: "Reaction not resettable",
  detail: "This reaction cannot undo what it did; replay it without a reset.",
}) {}

/** The name of a module, a reaction or a type: whatever is not one matches nothing. */
const Name = Schema.String.check(Schema.isPattern(/^[^\0\ud800-\udfff]{1,200}$/u, { message: "expected a name" }))
const which = { module: Schema.optionalKey(Name), reaction: Schema.optionalKey(Name) }

const one = { params: { id: Schema.String.check(Schema.isUUID()) }, success: DeadLetter, error: DeadLetterNotFound }

const deadLetters = HttpApiGroup.make("deadLetters")
  .add(
    HttpApiEndpoint.get("list", "/admin/dead-letters", {
      query: { ...PageQuery, ...which, status: Schema.optionalKey(Status) },
      success: page(DeadLetter),
      error: InvalidCursor,
    }),
    HttpApiEndpoint.get("get", "/admin/dead-letters/:id", one),
    HttpApiEndpoint.post("redrive", "/admin/dead-letters/:id/redrive", one),
    HttpApiEndpoint.post("discard", "/admin/dead-letters/:id/discard", one),
    HttpApiEndpoint.post("redriveAll", "/admin/dead-letters/redrive", {
      payload: [HttpApiSchema.NoContent, Schema.Struct({ ...which, type: Schema.optionalKey(Name) })],
      success: Schema.Struct({ redriven: Schema.Int }),
    }),
  )
  .add(
    HttpApiEndpoint.post("replay", "/admin/replays", {
      payload: Schema.Struct({
        reaction: Name,
        from: Schema.optionalKey(Instant),
        reset: Schema.optionalKey(Schema.Boolean),
      }),
      success: Replay,
      error: [ReactionNotFound, ReactionNotResettable],
    }),
    HttpApiEndpoint.get("replayed", "/admin/replays/:reaction", {
      params: { reaction: Name },
      success: Replay,
      error: ReactionNotFound,
    }),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Dead letters" }))

export const api = HttpApi.make("galleria").add(deadLetters).annotate(HttpApi.ParseOptions, { errors: "all" })
