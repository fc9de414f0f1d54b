import type { AskedEvent, FoundDelivery, JourneyPart, SeenEvent } from "./JourneyPart.ts"
import type { JourneyEvent, JourneyGap, OrderJourney, ReactionDelivery } from "./OrderJourney.ts"

/** An event of the order, on the log or only in a history. */
export interface FoundEvent extends Omit<SeenEvent, "partition" | "offset" | "source"> {
  readonly partition: number | null
  readonly offset: number | null
  readonly source: string | null
}

/** Events of a journey, at most. */
export const mostEvents = 200

/** When the order is known to have done something (Unix ms). */
export const timesOf = (parts: ReadonlyArray<JourneyPart>): ReadonlyArray<number> =>
  parts.flatMap(({ order, history, steps, seen }) => [
    ...(order === null ? [] : [order.created_at.getTime()]),
    ...history.map(({ time }) => time.getTime()),
    ...steps.map(({ at }) => at.getTime()),
    ...seen.map(({ time }) => time.getTime()),
  ])

/** The module that publishes a type of event. */
const publisherOf = (parts: ReadonlyArray<JourneyPart>, type: string) =>
  parts.find(({ publishes }) => publishes.includes(type))?.module

/**
 * The events of the order, each once: those on the log and among dead letters, and those of the history that are in
 * neither, because the log has removed them or could not be read.
 */
export const eventsOf = (
  parts: ReadonlyArray<JourneyPart>,
  onLog: ReadonlyArray<SeenEvent>,
): ReadonlyArray<FoundEvent> => {
  const seen = new Map<string, FoundEvent>()
  const known = new Set<string>()
  for (const event of [...onLog, ...parts.flatMap((part) => part.seen)]) {
    const name = JSON.stringify([event.source, event.id])
    const other = seen.get(name)
    // A copy has the same id; the first one was taken charge of.
    if (other === undefined || other.offset === null || event.offset < other.offset) seen.set(name, event)
    known.add(`${event.topic} ${event.id}`)
  }
  const past = parts
    .flatMap(({ history }) => history)
    .filter(({ type, id }) => !known.has(`${type} ${id}`))
    .map(({ id, type, time, data }): FoundEvent => ({
      topic: type,
      partition: null,
      offset: null,
      time,
      id,
      source: null,
      subject: null,
      key: null,
      data,
      trace_id: null,
    }))
  return [...seen.values(), ...past].sort(byTime).slice(0, mostEvents)
}

const byTime = (a: FoundEvent, b: FoundEvent) =>
  a.time.getTime() - b.time.getTime() || (a.topic === b.topic ? (a.offset ?? 0) - (b.offset ?? 0) : 0)

/** What modules are asked about these events. A history lacks the source, so the usual ones are tried. */
export const askedOf = (
  events: ReadonlyArray<FoundEvent>,
  parts: ReadonlyArray<JourneyPart>,
): ReadonlyArray<AskedEvent> =>
  events.map(({ id, topic: type, source, partition, offset }) => {
    const publisher = publisherOf(parts, type)
    const usual = [...(publisher === undefined ? [] : [`/galleria/${publisher}`]), `/foreign/${type}`]
    return { id, type, sources: source === null ? usual : [source], partition, offset }
  })

/** The deliveries of a module; undefined when it could not be asked. */
export interface Asked {
  readonly module: string
  readonly deliveries: ReadonlyArray<FoundDelivery> | undefined
}

const withoutEvent = (found: FoundDelivery): ReactionDelivery => {
  const { event_id: _event, ...delivery } = found
  return delivery
}

const deliveriesTo = (
  event: FoundEvent,
  parts: ReadonlyArray<JourneyPart>,
  answers: ReadonlyArray<Asked>,
): ReadonlyArray<ReactionDelivery> =>
  answers.flatMap(({ module, deliveries }): ReadonlyArray<ReactionDelivery> => {
    if (deliveries !== undefined) {
      return deliveries.filter(({ event_id }) => event_id === event.id).map(withoutEvent)
    }
    const reactions = parts.find((part) => part.module === module)?.reactions ?? []
    return reactions
      .filter(({ type }) => type === event.topic)
      .map(({ reaction }) => ({ module, reaction, status: "unknown", at: null, attempts: 0 }))
  })

const moduleIn = (source: string) => /^\/galleria\/(\w+)$/u.exec(source)?.[1] ?? null

/** The journey of an order. Undefined when no module has anything about it. */
export const journeyOf = (asked: {
  readonly order_id: number
  readonly parts: ReadonlyArray<JourneyPart>
  readonly events: ReadonlyArray<FoundEvent>
  readonly answers: ReadonlyArray<Asked>
  readonly gaps: ReadonlyArray<JourneyGap>
}): OrderJourney | undefined => {
  const { order_id, parts, events, answers } = asked
  const isKnown =
    events.length > 0 || parts.some(({ order, steps, unsent }) => order || steps.length + unsent.length > 0)
  if (!isKnown && asked.gaps.length === 0) return undefined
  const shown = events.map((event): JourneyEvent => {
    const { topic, partition, offset, time, id, source, subject, key, data } = event
    const module = source === null ? (publisherOf(parts, topic) ?? null) : moduleIn(source)
    return {
      module,
      topic,
      partition,
      offset,
      time,
      event: { id, source, type: topic, subject, key, data },
      deliveries: deliveriesTo(event, parts, answers),
    }
  })
  const forgotten = shown.some(({ offset }) => offset === null)
  const traces = [...events, ...parts.flatMap(({ unsent }) => unsent)].flatMap(({ trace_id }) => trace_id ?? [])
  return {
    order_id,
    user_id: userOf(parts, events),
    trace_ids: [...new Set(traces)],
    events: shown,
    unsent: parts.flatMap(({ unsent }) =>
      unsent.map(({ module, type, age_seconds }) => ({ module, type, age_seconds })),
    ),
    order: parts.find(({ order }) => order !== null)?.order ?? null,
    steps: parts
      .flatMap(({ module, steps }) => steps.map((step) => ({ module, ...step })))
      .sort((a, b) => a.at.getTime() - b.at.getTime()),
    gaps: [
      ...parts.flatMap(({ module, gaps }) => gaps.map((why) => ({ module, why }))),
      ...asked.gaps,
      ...(forgotten
        ? [{ why: "events without an offset are from the order's history: they were not found on the log" }]
        : []),
    ],
  }
}

/** The order's user: as a module has it, or as an event says. */
export const userOf = (parts: ReadonlyArray<JourneyPart>, events: ReadonlyArray<Pick<FoundEvent, "data">>) => {
  const own = parts.find(({ user_id }) => user_id !== null)?.user_id
  if (own !== undefined && own !== null) return own
  for (const { data } of [...events, ...parts.flatMap(({ seen }) => seen)]) {
    const user = typeof data === "object" && data !== null && "user_id" in data ? Number(data.user_id) : Number.NaN
    if (Number.isSafeInteger(user) && user > 0) return user
  }
  return null
}
