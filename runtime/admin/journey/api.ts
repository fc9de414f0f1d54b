import { Schema, SchemaTransformation } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Admin } from "../../http/Admin.ts"
import { declare, Edge } from "../../http/Problem.ts"
import { hidden } from "../hidden.ts"
import { AskedEvent, AskedLog, FoundDelivery, JourneyPart, OnLog } from "./JourneyPart.ts"
import { mostEvents } from "./combine.ts"
import { OrderJourney } from "./OrderJourney.ts"

export class JourneyNotFound extends declare<JourneyNotFound>()("JourneyNotFound", {
  slug: "order-not-found",
  status: 404,
  title: "Order not found",
  detail: "There is no order with this id.",
}) {}

const OrderIdText = Schema.String.check(
  Schema.isPattern(/^[1-9]\d{0,15}$/u, { message: "expected the id of an order" }),
).pipe(
  Schema.decodeTo(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })).annotate({
      description: "The id of the order.",
      examples: [1],
    }),
    SchemaTransformation.transform({ decode: Number, encode: String }),
  ),
)
const params = { order_id: OrderIdText }

export const journeyGroup = HttpApiGroup.make("journeys")
  .add(
    HttpApiEndpoint.get("journey", "/admin/journeys/:order_id", {
      params,
      query: { personal: hidden },
      success: OrderJourney,
      error: JourneyNotFound,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Get the journey of an order over all modules",
        description:
          "Its events in the order of their time on the log, what each reaction made of them, and calls and holds. `gaps` names what is missing.",
      }),
    ),
    HttpApiEndpoint.get("journeyParts", "/admin/journeys/:order_id/parts", {
      params,
      success: Schema.Struct({ items: Schema.Array(JourneyPart) }).annotate({
        description: "What each module that runs here has about the order.",
      }),
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Get what the modules of this process have about an order",
        description: "Of these parts a console that runs by itself makes the journey.",
      }),
    ),
    HttpApiEndpoint.post("journeyLog", "/admin/journeys/:order_id/log", {
      params,
      payload: AskedLog,
      success: OnLog,
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Get the events of an order on the log",
        description: "Changes nothing; a POST because there may be many times.",
      }),
    ),
    HttpApiEndpoint.post("journeyDeliveries", "/admin/journeys/:order_id/deliveries", {
      params,
      payload: Schema.Struct({ events: Schema.Array(AskedEvent).check(Schema.isMaxLength(mostEvents)) }),
      success: Schema.Struct({ items: Schema.Array(FoundDelivery) }).annotate({
        description: "What the reactions of the modules that run here made of the events.",
      }),
    }).annotateMerge(
      OpenApi.annotations({
        summary: "Get what the modules of this process made of events",
        description: "Changes nothing; a POST because there may be many events.",
      }),
    ),
  )
  .middleware(Edge)
  .middleware(Admin)
  .annotateMerge(OpenApi.annotations({ title: "Journeys", description: "The journey of an order over all modules." }))
