import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Admin } from "../../http/Admin.ts"
import { Edge, NotFound } from "../../http/Problem.ts"
import { FaultSetting, FaultSwitch, FaultSwitches } from "../FaultSwitch.ts"

const faults = HttpApiGroup.make("faults")
  .add(
    HttpApiEndpoint.get("list", "/admin/faults", { success: FaultSwitches }).annotateMerge(
      OpenApi.annotations({
        summary: "List the faults that can be switched on",
        description: "All are off when the process starts.",
      }),
    ),
    HttpApiEndpoint.put("set", "/admin/faults/:name", {
      params: {
        name: Schema.String.annotate({ description: "The name of a fault.", examples: ["relay.order"] }),
      },
      payload: FaultSetting,
      success: FaultSwitch,
      error: NotFound,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Switch a fault on or off",
        description: "`user_id` counts for the faults of reactions.",
      }),
    ),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Faults", description: "Faults to try things out, in development." }))

/** The calls of a process with fault switches. */
export const faultsApi = HttpApi.make("galleria").add(faults).annotate(HttpApi.ParseOptions, { errors: "all" })
