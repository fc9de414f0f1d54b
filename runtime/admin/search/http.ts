import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { EventBus } from "../../events/EventBus.ts"
import type { EventType } from "../../events/Event.ts"
import { api } from "../api.ts"
import type { makeReads } from "../reads.ts"
import { search, type Searched } from "./search.ts"

interface Options {
  readonly modules: ReadonlyArray<Searched>
  /** The events on the log. */
  readonly events: ReadonlyArray<EventType>
  /** The modules that publish events, in this process or in another one. */
  readonly publishers: ReadonlyArray<{ readonly name: string; readonly publishes: ReadonlyArray<EventType> }>
}

/** `/admin/search` over all modules of the process. */
export const searchHttp = ({ modules, events, publishers }: Options, limited: ReturnType<typeof makeReads>) =>
  HttpApiBuilder.group(
    api,
    "search",
    Effect.fnUntraced(function* (handlers) {
      const bus = yield* EventBus
      const options = {
        modules,
        topics: events.map(({ type }) => type),
        sourcesOf: (topic: string) => [
          ...publishers.flatMap(({ name, publishes }) =>
            publishes.some(({ type }) => type === topic) ? [`/galleria/${name}`] : [],
          ),
          `/foreign/${topic}`,
        ],
      }
      return handlers.handleAll({
        search: ({ query: { q, part } }) =>
          Effect.provideService(limited(search(options, q, part === "own")), EventBus, bus),
      })
    }),
  )
