import { Cause, Clock, Duration, Effect, Exit, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { SqlClient } from "effect/sql"
import { decode, type Envelope } from "../events/cloudEvents.ts"
import type { Event } from "../events/Event.ts"
import type { Handle, Received } from "../events/EventBus.ts"
import { type Aside, inbox, type Outcome } from "../inbox/Inbox.ts"
import { Postpone, type Reaction, Reject } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { faultOf } from "./fault.ts"

/** One event for one reaction, and what is to be done about it. */
interface Delivery extends Work {
  readonly reaction: string
  readonly source: string
  readonly event_id: string
  readonly key: string | null
  readonly record: Received
}

interface Work {
  /** What to run; undefined when it is known to fail, as `outcome` says, before any reaction saw it. */
  readonly run: { readonly reaction: Reaction<never>; readonly event: Event } | undefined
  readonly outcome: Outcome
}

/** How long an event of a newer version waits before it is tried again (CONTRACT §2): the next release may know it. */
const newerVersionMillis = 60_000

/** The first wait of an event that failed; its retries follow the schedule. */
const firstRetryMillis = 1_000

const slice = { least: 10, most: 500, millis: 20 }

/**
 * Takes charge of records for one module (DELIVERY §2): each event takes effect once for each of its reactions, in
 * order within a key; one that fails steps aside with those of its key behind it, and holds up nothing else.
 *
 * A slice of a batch is one transaction. When it fails by an event's fault, it is taken again one event at a time,
 * so that only the bad one is found guilty. It fails only by the fault of the infrastructure, and may then be called
 * again with the same records. Slices shrink and grow to take about 20 ms, so that requests get their turn.
 */
export const makeConsumer = (options: {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  /** The statements it works by; others only to show that the tests notice. */
  readonly inbox?: typeof inbox
}) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const { takeCharge, heldOf, setAside } = (options.inbox ?? inbox)(sql)
    const service = `${options.module.charAt(0).toUpperCase()}${options.module.slice(1)}Service`
    let size = 100

    const together = (deliveries: ReadonlyArray<Delivery>) =>
      database.transaction(
        Effect.gen(function* () {
          const fresh = yield* takeCharge(deliveries)
          if (fresh.length === 0) return fresh
          const isHeld = yield* heldOf(fresh)
          yield* setAside(fresh.filter(isHeld).map((delivery) => asideOf(delivery, waiting)))
          for (const [reaction, events] of byReaction(fresh.filter((delivery) => !isHeld(delivery)))) {
            yield* reaction.run(events)
          }
          return fresh
        }),
      )

    const alone = (delivery: Delivery) =>
      database.transaction(
        Effect.gen(function* () {
          const [fresh] = yield* takeCharge([delivery])
          if (fresh === undefined) return []
          const isHeld = yield* heldOf([fresh])
          const outcome = isHeld(fresh) ? waiting : yield* attempt(fresh)
          if (outcome === undefined) return [fresh]
          yield* setAside([asideOf(fresh, outcome)])
          if (outcome.status !== "waiting") {
            yield* Effect.logWarning(`[${service}] ${fresh.reaction} failed, its key waits: ${outcome.error}`).pipe(
              Effect.annotateLogs({ event_id: fresh.event_id, topic: fresh.record.topic, status: outcome.status }),
            )
          }
          return []
        }),
      )

    /** Runs the reaction in a savepoint; undefined when it went well. */
    const attempt = (delivery: Delivery) =>
      Effect.gen(function* () {
        if (delivery.run === undefined) return delivery.outcome
        const { reaction, event } = delivery.run
        const exit = yield* Effect.exit(sql.withTransaction(reaction.run([event])))
        if (Exit.isSuccess(exit)) return undefined
        if (faultOf(exit.cause) !== "event") return yield* Effect.failCause(exit.cause)
        return yield* outcomeOf(exit.cause)
      })

    const take = (deliveries: ReadonlyArray<Delivery>): Effect.Effect<ReadonlyArray<Delivery>, unknown> =>
      Effect.gen(function* () {
        for (let tries = 1; ; tries++) {
          const exit = deliveries.some((delivery) => delivery.run === undefined)
            ? Exit.fail(undefined)
            : yield* Effect.exit(together(deliveries))
          if (Exit.isSuccess(exit)) return exit.value
          const fault = faultOf(exit.cause)
          if (fault === "event") break
          if (fault === "infrastructure" || tries === 3) return yield* Effect.failCause(exit.cause)
        }
        const taken: Array<Delivery> = []
        for (const delivery of deliveries) taken.push(...(yield* alone(delivery)))
        return taken
      })

    const report = (taken: ReadonlyArray<Delivery>) =>
      Effect.gen(function* () {
        if (taken.length > 3) {
          return yield* Effect.logInfo(`[${service}] Received ${taken.length} ${taken[0]!.record.topic} events`)
        }
        for (const { run } of taken) {
          if (run !== undefined)
            yield* Effect.logInfo(`[${service}] Received ${run.event.type} event: ${idsIn(run.event.data)}`)
        }
      })

    const handle: Handle = (records) =>
      Effect.gen(function* () {
        yield* database.writable
        const deliveries: Array<Delivery> = []
        for (const record of records) deliveries.push(...(yield* deliveriesOf(record, options.reactions)))
        for (let at = 0; at < deliveries.length;) {
          const part = deliveries.slice(at, at + size)
          const before = yield* Clock.currentTimeMillis
          yield* report(yield* take(part))
          const millis = (yield* Clock.currentTimeMillis) - before
          at += part.length
          if (millis > slice.millis) size = Math.max(slice.least, size >> 1)
          else if (millis < slice.millis / 2 && part.length === size) size = Math.min(slice.most, size * 2)
        }
      }).pipe(Effect.annotateLogs("module", options.module))

    return handle
  })

const waiting: Outcome = { status: "waiting" }

const asideOf = (delivery: Delivery, outcome: Outcome): Aside => {
  const { reaction, source, event_id, key, record } = delivery
  const { topic, partition, offset, headers } = record
  const event = {
    id: event_id,
    source,
    type: topic,
    key: record.key,
    headers,
    value: Buffer.from(record.value!).toString(),
  }
  return { reaction, source, event_id, key, topic, partition, offset, event: JSON.stringify(event), outcome }
}

const byReaction = (deliveries: ReadonlyArray<Delivery>) => {
  const groups = new Map<Reaction<never>, [Event, ...Array<Event>]>()
  for (const { run } of deliveries) {
    if (run === undefined) continue
    const events = groups.get(run.reaction)
    if (events === undefined) groups.set(run.reaction, [run.event])
    else events.push(run.event)
  }
  return groups as ReadonlyMap<Reaction<never>, NonEmptyReadonlyArray<Event>>
}

const deliveriesOf = (record: Received, reactions: ReadonlyArray<Reaction<never>>) =>
  Effect.gen(function* () {
    const found = decode(record)
    if (found._tag === "Tombstone") return []
    if (found._tag === "Malformed") {
      const { id, source, reason } = found
      const outcome: Outcome = { status: "parked", attempts: 1, reason: "malformed", error: reason, due: null }
      return [{ reaction: "*", source, event_id: id, key: null, record, run: undefined, outcome }]
    }
    const deliveries: Array<Delivery> = []
    for (const reaction of reactions) {
      if (reaction.event.type !== record.topic) continue
      const { id, source, key } = found.envelope
      deliveries.push({
        reaction: reaction.name,
        source,
        event_id: id,
        key,
        record,
        ...(yield* workOf(reaction, found.envelope)),
      })
    }
    return deliveries
  })

const workOf = (reaction: Reaction<never>, envelope: Envelope): Effect.Effect<Work> =>
  Effect.gen(function* () {
    if (envelope.version > reaction.event.version) {
      const error = `version ${envelope.version} of ${envelope.type} is newer than ${reaction.event.version}, which this release knows`
      const due = new Date((yield* Clock.currentTimeMillis) + newerVersionMillis)
      return { run: undefined, outcome: { status: "retrying", attempts: 0, reason: "newer-version", error, due } }
    }
    const read = yield* Effect.exit(reaction.decode(envelope.data))
    if (Exit.isFailure(read)) return { run: undefined, outcome: yield* outcomeOf(read.cause) }
    const { id, source, type, time, key } = envelope
    return { run: { reaction, event: { id, source, type, time, key, data: read.value } }, outcome: waiting }
  })

const outcomeOf = (cause: Cause.Cause<unknown>): Effect.Effect<Outcome> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const error = Cause.squash(cause)
    const text = clean(error instanceof Error ? error.message : String(error))
    if (error instanceof Reject) {
      return { status: "parked", attempts: 1, reason: "rejected", error: clean(error.reason), due: null }
    }
    if (error instanceof Postpone) {
      const due = new Date(now + Duration.toMillis(error.for))
      return { status: "retrying", attempts: 0, reason: "postponed", error: "", due }
    }
    const reason = Schema.isSchemaError(error) ? "schema" : "failed"
    return { status: "retrying", attempts: 1, reason, error: text, due: new Date(now + firstRetryMillis) }
  })

/** What may be kept and shown of an error: 2,000 characters of a line. */
const clean = (text: string): string =>
  text
    .slice(0, 2_000)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")

/** Ids alone: nothing personal, no payload. */
const idsIn = (data: unknown): string =>
  JSON.stringify(Object.fromEntries(Object.entries(data as object).filter(([name]) => name.endsWith("_id"))))
