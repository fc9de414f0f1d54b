import { Effect, Exit } from "effect"
import type { AskedEvent, AskedLog, FoundDelivery, JourneyPart, OnLog } from "./JourneyPart.ts"
import type { JourneyGap } from "./OrderJourney.ts"
import { askedOf, eventsOf, journeyOf, timesOf, userOf } from "./combine.ts"

/** A module that can be asked about an order, in this process or in another one. */
export interface JourneySource {
  readonly module: string
  readonly part: (order_id: number) => Effect.Effect<JourneyPart, unknown>
  readonly deliveries: (
    order_id: number,
    events: ReadonlyArray<AskedEvent>,
  ) => Effect.Effect<ReadonlyArray<FoundDelivery>, unknown>
}

/** The time for an answer of a module. */
const within = "1 second"

/** An answer in time, or why there is none. */
const ask = <A, R>(question: Effect.Effect<A, unknown, R>) =>
  Effect.map(
    Effect.exit(Effect.timeoutOrElse(question, { duration: within, orElse: () => Effect.fail("late" as const) })),
    (exit) => (Exit.isSuccess(exit) ? { answer: exit.value } : { answer: undefined }),
  )

/** What is known of a log that did not answer. */
const unread: OnLog = { seen: [], gaps: [{ why: "the event log does not answer" }] }

const gapOf = (module: string): JourneyGap => ({ module, why: "it could not be asked: no answer within 1 s" })

/**
 * The journey of one order over these modules: their own parts at once, then its events on the log around the times that
 * they have, then what their reactions made of these events. Nothing is written. Undefined when no module has anything
 * about the order.
 */
export const findJourney = <R>(
  sources: ReadonlyArray<JourneySource>,
  order_id: number,
  readLog: (asked: AskedLog) => Effect.Effect<OnLog, unknown, R>,
) =>
  Effect.gen(function* () {
    const asked = yield* Effect.forEach(
      sources,
      (source) => Effect.map(ask(source.part(order_id)), ({ answer }) => ({ source, part: answer })),
      { concurrency: "unbounded" },
    )
    const parts = asked.flatMap(({ part }) => part ?? [])
    const user_id = userOf(parts, [])
    const topics = [...new Set(parts.flatMap((part) => [...part.publishes, ...part.reactions.map(({ type }) => type)]))]
    const onLog =
      user_id === null
        ? { seen: [], gaps: [] }
        : ((yield* ask(readLog({ order_id, user_id, topics, times: timesOf(parts) }))).answer ?? unread)

    const events = eventsOf(parts, onLog.seen)
    const questions = askedOf(events, parts)
    const answers = yield* Effect.forEach(
      asked,
      ({ source: { module, deliveries }, part }) =>
        part === undefined || questions.length === 0
          ? Effect.succeed({ module, deliveries: part && [] })
          : Effect.map(ask(deliveries(order_id, questions)), ({ answer }) => ({ module, deliveries: answer })),
      { concurrency: "unbounded" },
    )
    const silent = answers.filter(({ deliveries }) => deliveries === undefined).map(({ module }) => gapOf(module))
    return journeyOf({ order_id, parts, events, answers, gaps: [...silent, ...onLog.gaps] })
  })
