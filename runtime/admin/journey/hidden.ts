import { type Contracts, hidePersonalData } from "../personal.ts"
import type { OrderJourney } from "./OrderJourney.ts"

/** A journey with what is personal in its events hidden. */
export const hiddenIn = (journey: OrderJourney, contracts: Contracts): OrderJourney => ({
  ...journey,
  events: journey.events.map(({ event, ...rest }) => ({
    ...rest,
    event: { ...event, data: hidePersonalData(event.type, event.data, contracts) },
  })),
})
