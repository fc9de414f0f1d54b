import { Effect, Schema, Semaphore } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import type { EventType } from "../../events/Event.ts"
import { EventBus } from "../../events/EventBus.ts"
import { instantOf } from "../../http/Instant.ts"
import { InvalidCursor, Page } from "../../http/Page.ts"
import { Unavailable } from "../../http/Problem.ts"
import { api } from "../api.ts"
import { contractsOf } from "../personal.ts"
import { scanFrom, timeIn } from "./around.ts"
import { loggedOf, matching } from "./logged.ts"
import { scan } from "./scan.ts"

/** What a call may look at. */
const mostScanned = 20_000
const mostMillis = 400

/** Scans of this process at once; further ones are answered 503. */
const atOnce = 4

/** An event is not appended before the time in its id, but for clocks that differ by this (ms). */
const early = 60_000

/** `/admin/events` over the topics of these events. */
export const eventsHttp = (events: ReadonlyArray<EventType>) =>
  HttpApiBuilder.group(
    api,
    "events",
    Effect.fnUntraced(function* (handlers) {
      const bus = yield* EventBus
      const page = yield* Page
      const topics = events.map(({ type }) => type)
      const contracts = contractsOf(events)
      const permits = yield* Semaphore.make(atOnce)
      return handlers.handleAll({
        list: ({ query }) =>
          Effect.gen(function* () {
            const { limit, cursor, topic, since, personal, ...wanted } = query
            const list = ["events", topic, wanted.key, wanted.order_id, wanted.event_id, since]
            const from = cursor === undefined ? undefined : yield* positionIn(yield* page.open(list, cursor))
            const chosen = topic === undefined ? topics : topics.filter((one) => one === topic)
            const time = wanted.event_id === undefined ? undefined : timeIn(wanted.event_id)
            const options = {
              topics: chosen,
              matches: matching(wanted),
              since: Math.max(
                since === undefined ? -Infinity : instantOf(since).getTime(),
                (time ?? -Infinity) - early,
              ),
              from,
              bounds: { limit, scanned: mostScanned, millis: mostMillis },
            }
            const scanning =
              time === undefined || from !== undefined ? scan(bus, options) : scanFrom(bus, time, options)
            const found = yield* permits
              .withPermitsIfAvailable(1)(scanning)
              .pipe(
                Effect.catchTag("EventBusError", (error) =>
                  Effect.andThen(
                    Effect.logWarning("The events cannot be listed", error),
                    Effect.die(new Unavailable({})),
                  ),
                ),
              )
            if (found._tag === "None") return yield* Effect.die(new Unavailable({}))
            const { records, next, scannedTo } = found.value
            return {
              items: records.map((record) => loggedOf(record, personal === "hide" ? contracts : undefined)),
              next_cursor: next === undefined ? null : page.seal(list, JSON.stringify(next)),
              scanned_to: scannedTo === undefined ? null : new Date(scannedTo),
            }
          }),
      })
    }),
  )

const Position = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Natural))

/** Of a signed cursor. It does not decode only if another release has signed it. */
const positionIn = (text: string) => Effect.mapError(Schema.decodeEffect(Position)(text), () => new InvalidCursor({}))
