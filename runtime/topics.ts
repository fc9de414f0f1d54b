import { Duration, Effect, Fiber } from "effect"
import { EventBus, type PartitionsDiffer, type Retention } from "./events/EventBus.ts"
import type { EventType } from "./events/Event.ts"
import type { Settings } from "./config.ts"
import { backOff } from "./loop/loop.ts"
import { eventsOf, type Module } from "./module/Module.ts"

/** Days for which a topic is kept while `RETENTION_DAYS` is unset. */
const defaultDays = 30

/**
 * How long a topic should keep its records; undefined: for ever. Without `RETENTION_DAYS`, topics that feed a projection
 * with a reset are kept for ever, because a reset needs the whole log.
 */
export const retentionOf = (
  { type, keptForever }: EventType,
  { retentionDays, projected }: Pick<Settings, "retentionDays" | "projected">,
): Duration.Duration | undefined =>
  keptForever || (retentionDays === undefined && projected.has(type))
    ? undefined
    : Duration.days(retentionDays ?? defaultDays)

/** After this the start continues, and topics are created in the background: orders are accepted while the broker is down. */
const ensureWithin = "3 seconds"

/**
 * Creates the topics of the modules, and warns about existing topics with a shorter retention than configured. When a topic
 * has another number of partitions, `end` ends the program, even if the broker reports it late.
 */
export const ensureTopics = (settings: Settings, end: (why: PartitionsDiffer) => Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const wanted = new Map(eventsOf(settings.modules).map((event) => [event.type, retentionOf(event, settings)]))
    const topics = Array.from(wanted, ([name, retention]) => ({ name, partitions: settings.partitions, retention }))
    const again = { schedule: backOff }
    const ensuring = yield* bus
      .ensure(topics)
      .pipe(
        Effect.retry({ while: (error) => error._tag === "EventBusError", ...again }),
        Effect.catchTag("EventBusError", Effect.die),
        Effect.tapError(end),
        Effect.andThen(bus.retentions([...wanted.keys()]).pipe(Effect.retry(again), Effect.orDie)),
        Effect.flatMap(
          Effect.forEach((found) => warnOf(shorter(found, wanted.get(found.topic)), settings), { discard: true }),
        ),
        Effect.forkScoped,
      )
    yield* Effect.raceFirst(Fiber.join(ensuring), Effect.sleep(ensureWithin))
  })

/** Describes how a topic's retention is shorter than wanted; undefined when it is not. */
export const shorter = (
  { topic, retention, sooner }: Retention,
  wanted: Duration.Duration | undefined,
): string | undefined => {
  const isShorter = retention !== undefined && (wanted === undefined || Duration.isLessThan(retention, wanted))
  const ways = [...(isShorter ? [`for ${daysOf(retention)}`] : []), ...(sooner === undefined ? [] : [`by ${sooner}`])]
  return ways.length === 0 ? undefined : `topic ${topic} keeps its records ${ways.join(" and ")}, not ${daysOf(wanted)}`
}

const daysOf = (retention: Duration.Duration | undefined) =>
  retention === undefined ? "for ever" : `${Number(Duration.toDays(retention).toFixed(2))} days`

const warnOf = (text: string | undefined, { retentionDays }: Settings) =>
  text === undefined
    ? Effect.void
    : Effect.logWarning(
        `${text} (RETENTION_DAYS ${retentionDays === undefined ? "is unset" : `= ${retentionDays}`}): a consumer that ` +
          "is down for longer loses events, and a projection cannot be reset from the remaining records",
      )

/** Warns about reactions to events that no module here publishes: with the embedded log they never run. */
export const warnOfSilence = (modules: ReadonlyArray<Module>) => {
  const published = new Set(modules.flatMap((module) => module.publishes.map((event) => event.type)))
  const silent = eventsOf(modules).filter((event) => !published.has(event.type))
  return silent.length === 0
    ? Effect.void
    : Effect.logWarning(
        `No module here publishes ${silent.map((event) => event.type).join(", ")}; reactions to them never run with the embedded log`,
      )
}
