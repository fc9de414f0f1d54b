import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Admin } from "../../http/Admin.ts"
import { Edge } from "../../http/Problem.ts"
import { Overview } from "./Overview.ts"

export const overviewGroup = HttpApiGroup.make("overview")
  .add(
    HttpApiEndpoint.get("overview", "/admin/overview", { success: Overview }).annotateMerge(
      OpenApi.annotations({
        summary: "Get the state of all modules, and what waits",
        description: "Made at most once a second; requests within that second share it.",
      }),
    ),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Overview", description: "The state of the modules, and what waits." }))
