import { Clock, Effect, Exit } from "effect"
import { decode, type Envelope, storable } from "../events/cloudEvents.ts"
import type { Event } from "../events/Event.ts"
import type { Received } from "../events/EventBus.ts"
import { heldKey, type Reaction } from "../module/Reaction.ts"
import { type NewDeadLetter, storedValueOf } from "./deadLetterTable.ts"
import type { DeliveryId } from "./inboxTable.ts"
import { ofNoReaction, type Outcome, outcomeOf, waiting } from "./outcome.ts"
import { positionName } from "./positionTable.ts"

/** One event for one reaction, and what is to be done about it. */
export interface Delivery extends DeliveryId, Work {
  readonly record: Received
  /** It is the last delivery of its record. */
  readonly isLast: boolean
}

export interface Work {
  /** What to run; undefined for an event that fails before its reaction runs. */
  readonly run: { readonly reaction: Reaction<never>; readonly event: Event } | undefined
  /** What becomes of an event that is not run: it is retried, from when this is asked, or parked. */
  readonly outcome: Effect.Effect<Outcome>
}

/** The delay after which an event of a newer version is retried: the next release may know that version. */
const newerVersionMillis = 60_000

/** The dead letter of a delivery. */
export const deadLetterOf = (delivery: Delivery, outcome: Outcome): NewDeadLetter => {
  const { reaction, source, event_id, key, record } = delivery
  const { topic, partition, offset, headers } = record
  const event = {
    id: event_id,
    source,
    type: topic,
    key: record.key,
    headers,
    time: record.time,
    ...storedValueOf(record.value!),
  }
  return { reaction, source, event_id, key, topic, partition, offset, event: JSON.stringify(event), outcome }
}

/** The deliveries of a record: none, one that is malformed, or one for each of these reactions to its topic. */
export const deliveriesOf = (record: Received, reactions: ReadonlyArray<Reaction<never>>): ReadonlyArray<Delivery> => {
  const found = decode(record)
  if (found._tag === "Tombstone") return []
  if (found._tag === "Malformed") {
    const { id, source, reason } = found
    const outcome = Effect.succeed<Outcome>({
      status: "parked",
      attempts: 1,
      reason: "malformed",
      error: reason,
      due: null,
    })
    return [{ reaction: ofNoReaction, source, event_id: id, key: null, record, isLast: true, run: undefined, outcome }]
  }
  const { envelope } = found
  const reacting = reactions.filter(({ event }) => event.type === record.topic)
  return reacting.map((reaction, n) => {
    const { run, outcome } = workOf(reaction, envelope)
    return {
      reaction: reaction.name,
      source: envelope.source,
      event_id: envelope.id,
      key: keyOf(reaction, envelope),
      record,
      isLast: n === reacting.length - 1,
      run,
      outcome,
    }
  })
}

/**
 * The key by which a delivery holds back later ones. It is read from the data as received, so it is known even when the
 * data does not match its schema. An event without a key, or without that member, holds back nothing.
 */
const keyOf = ({ heldBy }: Reaction<never>, { key, data }: Envelope): string | null => {
  if (heldBy === undefined || key === null) return key
  const value = typeof data === "object" && data !== null ? (data as Record<string, unknown>)[heldBy] : undefined
  return typeof value === "number" || typeof value === "string" ? storable(heldKey(heldBy, value)) : null
}

const waits = Effect.succeed(waiting)

const workOf = (reaction: Reaction<never>, envelope: Envelope): Work => {
  if (envelope.version > reaction.event.version) return { run: undefined, outcome: isNewer(reaction, envelope) }
  const read = reaction.decode(envelope.data)
  if (Exit.isFailure(read)) return { run: undefined, outcome: outcomeOf(read.cause, reaction.retry) }
  const { id, source, type, time, key, data } = envelope
  return { run: { reaction, event: { id, source, type, time, key, data: read.value, received: data } }, outcome: waits }
}

const isNewer = ({ event }: Reaction<never>, { version, type }: Envelope): Effect.Effect<Outcome> =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    status: "retrying",
    attempts: 0,
    reason: "newer-version",
    error: `version ${version} of ${type} is newer than ${event.version}, which this release knows`,
    due: new Date(now + newerVersionMillis),
  }))

/** The deliveries that are not before the positions of their reactions. `nexts`: offsets by `positionName`. */
export const unseen = (
  deliveries: ReadonlyArray<Delivery>,
  nexts: ReadonlyMap<string, number>,
): ReadonlyArray<Delivery> =>
  deliveries.filter(({ reaction, record }) => {
    const next = nexts.get(positionName(reaction, record))
    return next === undefined || record.offset >= next
  })
