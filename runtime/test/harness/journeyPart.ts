import type { JourneyPart } from "../../admin/journey/JourneyPart.ts"

/** What a module has about an order: nothing but what is given. */
export const journeyPart = (module: string, given: Partial<JourneyPart> = {}): JourneyPart => ({
  module,
  publishes: [],
  reactions: [],
  user_id: null,
  order: null,
  history: [],
  steps: [],
  unsent: [],
  seen: [],
  gaps: [],
  ...given,
})
