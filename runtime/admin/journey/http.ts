import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { EventBus } from "../../events/EventBus.ts"
import { eventsOf } from "../../module/Module.ts"
import { api } from "../api.ts"
import { contractsOf } from "../personal.ts"
import type { makeReads } from "../reads.ts"
import { JourneyNotFound } from "./api.ts"
import { hiddenIn } from "./hidden.ts"
import { eventsOnLog } from "./log.ts"
import { findJourney, type JourneySource } from "./journey.ts"
import { foundDeliveries, type Journeying, partOf } from "./part.ts"

const sourceOf = (own: Journeying): JourneySource => ({
  module: own.name,
  part: (order_id) => partOf(own, order_id),
  deliveries: (_, events) => foundDeliveries(own, events),
})

/** `/admin/journeys` over all modules of the process. */
export const journeyHttp = (modules: ReadonlyArray<Journeying>, limited: ReturnType<typeof makeReads>) =>
  HttpApiBuilder.group(
    api,
    "journeys",
    Effect.fnUntraced(function* (handlers) {
      const bus = yield* EventBus
      const sources = modules.map(sourceOf)
      const contracts = contractsOf(eventsOf(modules))
      return handlers.handleAll({
        journey: ({ params: { order_id }, query: { personal } }) =>
          Effect.gen(function* () {
            const found = yield* limited(findJourney(sources, order_id, eventsOnLog))
            if (found === undefined) return yield* new JourneyNotFound({})
            return personal === "hide" ? hiddenIn(found, contracts) : found
          }).pipe(Effect.provideService(EventBus, bus)),
        journeyParts: ({ params: { order_id } }) =>
          Effect.map(limited(Effect.forEach(modules, (own) => partOf(own, order_id))), (items) => ({ items })),
        journeyLog: ({ payload }) => Effect.provideService(limited(eventsOnLog(payload)), EventBus, bus),
        journeyDeliveries: ({ payload: { events } }) =>
          Effect.map(
            limited(Effect.orDie(Effect.forEach(modules, (own) => foundDeliveries(own, events)))),
            (items) => ({ items: items.flat() }),
          ),
      })
    }),
  )
