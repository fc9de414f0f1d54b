import { Schema, SchemaTransformation } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Admin } from "../../http/Admin.ts"
import { declare, Edge } from "../../http/Problem.ts"
import { Facts } from "../../module/Audit.ts"

export class ModuleNotFound extends declare<ModuleNotFound>()("ModuleNotFound", {
  slug: "module-not-found",
  status: 404,
  title: "Module not found",
  detail: "No module with this name runs in this process.",
}) {}

const moduleName = Schema.String.check(
  Schema.isPattern(/^[a-z]{1,64}$/u, { message: "expected the name of a module" }),
).annotate({
  description: "The name of a module.",
  examples: ["order"],
})

export const ShownViolation = Schema.Struct({
  invariant: Schema.String.annotate({
    description: "The invariant that is violated.",
    examples: ["final-notification"],
  }),
  module: moduleName,
  subject: Schema.String.annotate({ description: "What it is about, with its id.", examples: ["order 17"] }),
  details: Schema.String.annotate({ description: "What was found.", examples: ["the order is paid, …"] }),
}).annotate({ identifier: "Violation", description: "A violation of an invariant." })

const Audited = Schema.Struct({
  checked_at: Schema.String.annotate({ examples: ["2026-01-02T03:04:05.678Z"] }),
  violations: Schema.Array(ShownViolation),
}).annotate({ identifier: "Audited", description: "The violations, and when they were found." })

const digits = Schema.String.check(Schema.isPattern(/^(?:0|[1-9]\d{0,15})$/u, { message: "expected a whole number" }))

const whole = (minimum: number, maximum: number, description: string) =>
  digits.pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum, maximum })).annotate({ description }),
      SchemaTransformation.transform({ decode: Number, encode: String }),
    ),
  )

export const auditGroup = HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("audit", "/admin/audit", { success: Audited }).annotateMerge(
      OpenApi.annotations({
        summary: "Check the invariants",
        description:
          "Over the modules that run here and all of their orders; what persists for some seconds is a violation. When that takes longer than 55 s the answer is 503, the audit continues, and the next request gets its result.",
      }),
    ),
    HttpApiEndpoint.get("facts", "/admin/audit/facts/:module", {
      params: { module: moduleName },
      query: {
        after: Schema.optionalKey(whole(0, Number.MAX_SAFE_INTEGER, "Only orders with a greater id.")),
        limit: Schema.optionalKey(whole(1, 1_000, "How many orders at most.")),
      },
      success: Schema.Struct({ items: Schema.Array(Facts) }).annotate({
        description: "The facts of the next orders, by their ids.",
      }),
      error: ModuleNotFound,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "List what a module knows about orders",
        description: "Of at most `limit` orders with ids greater than `after`; `npm run audit` compares them.",
      }),
    ),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Audit", description: "The invariants over all modules." }))
