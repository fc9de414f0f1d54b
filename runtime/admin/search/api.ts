import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Admin } from "../../http/Admin.ts"
import { Edge } from "../../http/Problem.ts"
import { Matches } from "../LoggedEvent.ts"
import { Name } from "../Operation.ts"

export const searchGroup = HttpApiGroup.make("search")
  .add(
    HttpApiEndpoint.get("search", "/admin/search", {
      query: {
        q: Name.annotate({ description: "The id of an order, a user, an event or a dead letter.", examples: ["1"] }),
        part: Schema.optionalKey(
          Schema.Literals(["own"]).annotate({
            description: "Only the databases of the modules that run here, not the event log.",
          }),
        ),
      },
      success: Matches,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Find what has an id",
        description:
          "Digits name an order or a user. Events are found by the inboxes, by dead letters and, where the id has a time in it (UUIDv7), on the event log around that time. `gaps` names what was not searched.",
      }),
    ),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Search", description: "What has an id." }))
