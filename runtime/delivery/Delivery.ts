import { Clock, Effect, Exit } from "effect"
import { decode, type Envelope, storable } from "../events/cloudEvents.ts"
import type { Event } from "../events/Event.ts"
import type { Received } from "../events/EventBus.ts"
import { type Aside, keepValue, type Outcome } from "./inbox.ts"
import { heldKey, type Reaction } from "../module/Reaction.ts"
import { ofNoReaction, outcomeOf, waiting } from "./outcome.ts"

/** One event for one reaction, and what is to be done about it. */
export interface Delivery extends Work {
  readonly reaction: string
  readonly source: string
  readonly event_id: string
  readonly key: string | null
  readonly record: Received
  /** No other delivery of the record comes after it. */
  readonly isLast: boolean
}

export interface Work {
  /** What to run; undefined when it is known to fail, as `outcome` says, before any reaction saw it. */
  readonly run: { readonly reaction: Reaction<never>; readonly event: Event } | undefined
  readonly outcome: Outcome
}

/** How long an event of a newer version waits before it is tried again: the next release may know it. */
const newerVersionMillis = 60_000

/** A delivery as it is set aside. */
export const asideOf = (delivery: Delivery, outcome: Outcome): Aside => {
  const { reaction, source, event_id, key, record } = delivery
  const { topic, partition, offset, headers } = record
  const event = {
    id: event_id,
    source,
    type: topic,
    key: record.key,
    headers,
    time: record.time,
    ...keepValue(record.value!),
  }
  return { reaction, source, event_id, key, topic, partition, offset, event: JSON.stringify(event), outcome }
}

/** What a record means for the reactions of a module: nothing, one malformed record, or a delivery for each. */
export const deliveriesOf = (record: Received, reactions: ReadonlyArray<Reaction<never>>) =>
  Effect.gen(function* () {
    const found = decode(record)
    if (found._tag === "Tombstone") return []
    if (found._tag === "Malformed") {
      const { id, source, reason } = found
      const outcome: Outcome = { status: "parked", attempts: 1, reason: "malformed", error: reason, due: null }
      return [
        { reaction: ofNoReaction, source, event_id: id, key: null, record, isLast: true, run: undefined, outcome },
      ]
    }
    const deliveries: Array<Delivery> = []
    const reacting = reactions.filter(({ event }) => event.type === record.topic)
    for (const [n, reaction] of reacting.entries()) {
      const { id, source } = found.envelope
      deliveries.push({
        reaction: reaction.name,
        source,
        event_id: id,
        key: keyOf(reaction, found.envelope),
        record,
        isLast: n === reacting.length - 1,
        ...(yield* workOf(reaction, found.envelope)),
      })
    }
    return deliveries
  })

/**
 * By what the delivery is held back and holds back others. It is read from the data as received, so it is known even
 * when the data fails its schema. An event without a key, or without that member, holds back nothing.
 */
const keyOf = ({ heldBy }: Reaction<never>, { key, data }: Envelope): string | null => {
  if (heldBy === undefined || key === null) return key
  const value = typeof data === "object" && data !== null ? (data as Record<string, unknown>)[heldBy] : undefined
  return typeof value === "number" || typeof value === "string" ? storable(heldKey(heldBy, value)) : null
}

const workOf = (reaction: Reaction<never>, envelope: Envelope): Effect.Effect<Work> =>
  Effect.gen(function* () {
    if (envelope.version > reaction.event.version) {
      const error = `version ${envelope.version} of ${envelope.type} is newer than ${reaction.event.version}, which this release knows`
      const due = new Date((yield* Clock.currentTimeMillis) + newerVersionMillis)
      return { run: undefined, outcome: { status: "retrying", attempts: 0, reason: "newer-version", error, due } }
    }
    const read = yield* Effect.exit(reaction.decode(envelope.data))
    if (Exit.isFailure(read)) return { run: undefined, outcome: yield* outcomeOf(read.cause, reaction.retry) }
    const { id, source, type, time, key } = envelope
    return {
      run: { reaction, event: { id, source, type, time, key, data: read.value, received: envelope.data } },
      outcome: waiting,
    }
  })
